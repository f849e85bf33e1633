/** FNV-1a, 32 bits, over a sequence of fields; each is followed by a separator of its own. */
export class Digest {
  private state = 0x811c9dc5;

  /** Code units up to 255: a latin1 text, or one byte of each of any other string's units. */
  text(text: string): void {
    let { state } = this;
    for (let index = 0; index < text.length; index++) {
      state = Math.imul(state ^ text.charCodeAt(index), 0x01000193);
    }
    this.state = state;
    this.number(text.length);
  }

  /** A non-negative safe integer. */
  number(value: number): void {
    let { state } = this;
    state = Math.imul(state ^ (value & 0xffff), 0x01000193);
    state = Math.imul(state ^ (value >>> 16), 0x01000193);
    this.state = Math.imul(state ^ Math.floor(value / 2 ** 32), 0x01000193);
  }

  bytes(bytes: Uint8Array): void {
    let { state } = this;
    for (let index = 0; index < bytes.length; index++) {
      state = Math.imul(state ^ (bytes[index] as number), 0x01000193);
    }
    this.state = state;
    this.number(bytes.length);
  }

  /** Unsigned 32 bits. */
  get value(): number {
    return this.state >>> 0;
  }
}

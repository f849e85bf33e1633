/**
 * Where a body stands between its messages (grpc/grpc `doc/PROTOCOL-HTTP2.md`,
 * Length-Prefixed-Message).
 */

const prefixBytes = 5;

export class MessageBoundary {
  #prefix = 0;
  #length = 0;
  /** Bytes of the present message's content that have not come yet. */
  #missing = 0;

  /** No message has begun that has not ended. */
  get reached(): boolean {
    return this.#prefix === 0 && this.#missing === 0;
  }

  /** Passes over `bytes[start..end)`. */
  pass(bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      if (this.#missing > 0) {
        const taken = Math.min(this.#missing, end - at);
        this.#missing -= taken;
        at += taken;
        continue;
      }
      // The first byte says whether the content is compressed.
      if (this.#prefix > 0) this.#length = this.#length * 256 + (bytes[at] as number);
      this.#prefix++;
      at++;
      if (this.#prefix < prefixBytes) continue;
      this.#missing = this.#length;
      this.#prefix = 0;
      this.#length = 0;
    }
  }

  /**
   * The first place in `bytes[start..end)` where no message is under way; `end` when there is none.
   */
  find(bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && !this.reached) {
      const step = this.#missing > 0 ? Math.min(this.#missing, end - at) : 1;
      this.pass(bytes, at, at + step);
      at += step;
    }
    return at;
  }
}

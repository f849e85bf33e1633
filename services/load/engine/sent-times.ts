/** When each object was sent, so that any thread that sees its event knows how long it took. */
const slots = 1 << 18;

export class SentTimes {
  readonly #times: Float64Array;

  constructor(memory: SharedArrayBuffer) {
    this.#times = new Float64Array(memory);
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(2 * slots * Float64Array.BYTES_PER_ELEMENT);
  }

  set(name: number): void {
    const at = 2 * (name % slots);
    this.#times[at + 1] = performance.timeOrigin + performance.now();
    this.#times[at] = name;
  }

  /** Milliseconds since; undefined when another object has taken the slot. */
  since(name: number): number | undefined {
    const at = 2 * (name % slots);
    if (this.#times[at] !== name) return undefined;
    return performance.timeOrigin + performance.now() - (this.#times[at + 1] ?? 0);
  }
}

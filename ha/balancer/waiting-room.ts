/** Calls that wait for a master, first come first served; bounded in number and time. */

export interface Waiting {
  /** True: it has been placed and leaves the room. */
  tryAgain(): boolean;
  /** It has waited long enough. It has left the room. */
  gaveUp(): void;
}

export class WaitingRoom {
  readonly #limit: number;
  readonly #waitMillis: number;
  /** With the timers that end their patience. */
  readonly #waiting = new Map<Waiting, NodeJS.Timeout>();

  constructor(limit: number, waitMillis: number) {
    this.#limit = limit;
    this.#waitMillis = waitMillis;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** False: the room is full. */
  enter(call: Waiting): boolean {
    if (this.#waiting.size >= this.#limit) return false;
    const timer = setTimeout(() => {
      this.#waiting.delete(call);
      call.gaveUp();
    }, this.#waitMillis);
    this.#waiting.set(call, timer);
    return true;
  }

  leave(call: Waiting): void {
    clearTimeout(this.#waiting.get(call));
    this.#waiting.delete(call);
  }

  /** Something has changed: everybody tries again, in the order in which they came. */
  wake(): void {
    for (const call of [...this.#waiting.keys()]) {
      if (this.#waiting.has(call) && call.tryAgain()) this.leave(call);
    }
  }
}

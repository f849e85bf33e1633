/** Calls that wait for a master, first come first served; bounded in number and time. */

export interface QueuedCall {
  /** Tries to find a master. True: the call has one, and leaves the queue. */
  tryAgain(): boolean;
  /** The call has waited too long, and has left the queue. */
  gaveUp(): void;
}

export class CallQueue {
  readonly #limit: number;
  readonly #waitMillis: number;
  /** Each waiting call with the timer that ends its wait. */
  readonly #waiting = new Map<QueuedCall, NodeJS.Timeout>();

  constructor(limit: number, waitMillis: number) {
    this.#limit = limit;
    this.#waitMillis = waitMillis;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** False: the queue is full. */
  enter(call: QueuedCall): boolean {
    if (this.#waiting.size >= this.#limit) return false;
    const timer = setTimeout(() => {
      this.#waiting.delete(call);
      call.gaveUp();
    }, this.#waitMillis);
    this.#waiting.set(call, timer);
    return true;
  }

  leave(call: QueuedCall): void {
    clearTimeout(this.#waiting.get(call));
    this.#waiting.delete(call);
  }

  /** The set of masters has changed: all calls try again, in order of arrival. */
  wake(): void {
    for (const call of [...this.#waiting.keys()]) {
      if (this.#waiting.has(call) && call.tryAgain()) this.leave(call);
    }
  }
}

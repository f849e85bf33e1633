/**
 * What requests under way may hold, together: those that have not arrived in full, and those that
 * came in pieces and are being answered. Flow control bounds what is unread; a message that must
 * arrive whole before it is of use has to be taken in.
 */
import { Code, StatusError } from "../../runtime/status-error.ts";

export class RequestBytes {
  readonly #limit: number;
  readonly #what: string;
  readonly #whole: RequestBytes | undefined;
  #held = 0;

  /** `what` the limit is of; `whole`: what this is a part of. */
  constructor(limit: number, what: string, whole?: RequestBytes) {
    this.#limit = limit;
    this.#what = what;
    this.#whole = whole;
  }

  get held(): number {
    return this.#held;
  }

  /** Throws a StatusError, and takes nothing, when it would be too much. */
  take(bytes: number): void {
    if (this.#held + bytes > this.#limit) {
      const text = `the requests under way on ${this.#what} hold ${this.#held} bytes`;
      throw new StatusError(Code.resourceExhausted, `${text}, of at most ${this.#limit}`);
    }
    this.#whole?.take(bytes);
    this.#held += bytes;
  }

  give(bytes: number): void {
    this.#held -= bytes;
    this.#whole?.give(bytes);
  }
}

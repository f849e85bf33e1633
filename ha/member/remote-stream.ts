/** The user's end of a stream in the member's thread. Bounded by the credit that it gives. */
import type { StatusError } from "../runtime/status-error.ts";

export type CreditMessage =
  | { readonly kind: "credit"; readonly batches: number }
  | { readonly kind: "unwatch" };

export class RemoteStream<T> implements AsyncIterable<T> {
  readonly #say: (message: CreditMessage) => void;
  readonly #ended: () => void;
  readonly #creditStep: number;
  readonly #queue: T[] = [];
  #waiting: PromiseWithResolvers<IteratorResult<T, undefined>> | undefined;
  #taken = 0;
  #over = false;
  #error: StatusError | undefined;

  /** Credit is given back in steps of `creditStep`, which must not be more than the window. */
  constructor(creditStep: number, say: (message: CreditMessage) => void, ended: () => void) {
    this.#creditStep = creditStep;
    this.#say = say;
    this.#ended = ended;
  }

  push(item: T): void {
    if (this.#over) return;
    if (this.#waiting) {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      this.#count();
      waiting.resolve({ done: false, value: item });
    } else this.#queue.push(item);
  }

  /** Ends the stream; the reader still gets the queued items. */
  end(error: StatusError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    this.#ended();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting) this.#settle(waiting);
  }

  close(): void {
    if (this.#over) return;
    this.#say({ kind: "unwatch" });
    this.#queue.length = 0;
    this.end(undefined);
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return {
      next: () => this.#next(),
      return: () => {
        this.close();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  #next(): Promise<IteratorResult<T, undefined>> {
    const item = this.#queue.shift();
    if (item !== undefined) {
      this.#count();
      return Promise.resolve({ done: false, value: item });
    }
    const waiting = Promise.withResolvers<IteratorResult<T, undefined>>();
    if (this.#over) this.#settle(waiting);
    else this.#waiting = waiting;
    return waiting.promise;
  }

  /** Fails the stream; the reader gets the queued items first, then the error once. */
  #settle(waiting: PromiseWithResolvers<IteratorResult<T, undefined>>): void {
    const error = this.#error;
    this.#error = undefined;
    if (error) waiting.reject(error);
    else waiting.resolve({ done: true, value: undefined });
  }

  #count(): void {
    this.#taken++;
    if (this.#taken < this.#creditStep || this.#over) return;
    this.#say({ kind: "credit", batches: this.#taken });
    this.#taken = 0;
  }
}

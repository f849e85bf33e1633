/**
 * Hands the answers of a stream over without a queue: a producer that offers an answer waits until
 * the stream has taken it. So at most one answer of each producer waits, and a slow client slows
 * the producers down.
 */
import type { StatusError } from "../runtime/status-error.ts";
import type { Cancel } from "../runtime/types.ts";

interface Offer<T> {
  readonly value: T;
  readonly taken: (taken: boolean) => void;
}

export class Exchange<T> implements AsyncIterableIterator<T, undefined> {
  private offers: Offer<T>[] = [];
  private waiting: PromiseWithResolvers<IteratorResult<T, undefined>> | undefined;
  private closers: Cancel[] = [];
  private closed = false;
  private error: StatusError | undefined;

  /** In the order of the calls. False: the stream has ended, and this was not delivered. */
  offer(value: T): Promise<boolean> {
    if (this.closed) return Promise.resolve(false);
    const { waiting } = this;
    if (waiting !== undefined) {
      this.waiting = undefined;
      waiting.resolve({ done: false, value });
      return Promise.resolve(true);
    }
    return new Promise((taken) => this.offers.push({ value, taken }));
  }

  /** Ends the stream with an error, at once. */
  fail(error: StatusError): void {
    if (this.closed) return;
    this.error = error;
    this.finish();
  }

  /** Ends the stream, at once. */
  finish(): void {
    if (this.closed) return;
    this.closed = true;
    const { offers, closers, waiting } = this;
    this.offers = [];
    this.closers = [];
    for (const { taken } of offers) taken(false);
    for (const close of closers) close();
    if (waiting !== undefined) this.settle(waiting);
  }

  /** `closer` is called once, when the stream ends, with or without an error. */
  whenClosed(closer: Cancel): void {
    if (this.closed) closer();
    else this.closers.push(closer);
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const offer = this.offers.shift();
    if (offer !== undefined) {
      offer.taken(true);
      return Promise.resolve({ done: false, value: offer.value });
    }
    const waiting = Promise.withResolvers<IteratorResult<T, undefined>>();
    if (this.closed) this.settle(waiting);
    else this.waiting = waiting;
    return waiting.promise;
  }

  private settle(waiting: PromiseWithResolvers<IteratorResult<T, undefined>>): void {
    const { error } = this;
    this.error = undefined;
    if (error === undefined) waiting.resolve({ done: true, value: undefined });
    else waiting.reject(error);
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.finish();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

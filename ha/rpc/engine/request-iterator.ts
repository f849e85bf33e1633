/** The requests of a stream, each taken from the caller when it is asked for. */
import { cancelledError } from "../status-details.ts";
import type { StreamCall, StreamReader } from "./stream-call.ts";

type Result = IteratorResult<unknown, undefined>;

/** Leaving off early only stops reading: the call can still be answered. */
export class RequestIterator implements AsyncIterableIterator<unknown, undefined>, StreamReader {
  readonly #call: StreamCall;
  #waiting: PromiseWithResolvers<Result> | undefined;
  #state: "open" | "ended" | "over" = "open";

  constructor(call: StreamCall) {
    this.#call = call;
  }

  /** One at a time, as `for await` asks. */
  next(): Promise<Result> {
    if (this.#state === "over") return Promise.reject(cancelledError());
    if (this.#state === "ended") return Promise.resolve({ done: true, value: undefined });
    const waiting = Promise.withResolvers<Result>();
    this.#waiting = waiting;
    this.#call.want();
    return waiting.promise;
  }

  return(): Promise<Result> {
    this.#state = "ended";
    this.#call.stopReading();
    return Promise.resolve({ done: true, value: undefined });
  }

  onMessage(message: unknown): boolean {
    this.#taken()?.resolve({ done: false, value: message });
    return false;
  }

  onRequestEnd() {
    this.#state = "ended";
    this.#taken()?.resolve({ done: true, value: undefined });
  }

  onOver() {
    if (this.#state === "open") this.#state = "over";
    this.#taken()?.reject(cancelledError());
  }

  #taken(): PromiseWithResolvers<Result> | undefined {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    return waiting;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

import type { MethodDefinition } from "@grpc/grpc-js";
import { Code, StatusError } from "../../runtime/status-error.ts";
import { CallFailure } from "../call-failure.ts";
import { MessageReader } from "../engine/messages.ts";
import { type CallSettings, ClientCall } from "./call.ts";
import { parsingFailure, requestMessage } from "./codec.ts";

/** Bytes of requests that may wait for the server; a caller that heeds `ready` stays far below. */
const queuedBytesMax = 64 * 1024 * 1024;
const nothing = Buffer.alloc(0);

/**
 * Answers one at a time, each taken when it is asked for: what has not been taken counts against
 * the stream's window, so that a slow reader stops the server.
 */
export class StreamingClientCall<Request, Response> extends ClientCall {
  readonly #method: MethodDefinition<Request, Response>;
  #reader: MessageReader | undefined;
  /** Received, and not yet given back to the window. */
  #held = 0;
  #waiting: PromiseWithResolvers<IteratorResult<Response, undefined>> | undefined;
  #failure: CallFailure | undefined;
  #writable: (() => void)[] = [];

  constructor(settings: CallSettings, method: MethodDefinition<Request, Response>) {
    super(settings);
    this.#method = method;
  }

  onData(piece: Buffer): void {
    this.#reader ??= new MessageReader(this.encoding, this.maxMessageBytes);
    this.#reader.add(piece);
    this.#held += piece.length;
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    const message = this.#message();
    if (message === undefined) return;
    this.#waiting = undefined;
    waiting.resolve({ done: false, value: message.value });
  }

  /** The next answer. One caller at a time. Rejects with the call's failure behind the last one. */
  take(): Promise<IteratorResult<Response, undefined>> {
    const message = this.#message();
    if (message !== undefined) return Promise.resolve({ done: false, value: message.value });
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.over) return Promise.resolve({ done: true, value: undefined });
    this.#waiting = Promise.withResolvers();
    return this.#waiting.promise;
  }

  /** An answer that has come already; undefined: there is none, and `take` waits for the next. */
  takeNow(): Response | undefined {
    return this.#message()?.value;
  }

  /** The answers until the call's end, or until the loop over them is left, which ends the call. */
  async *answers(): AsyncGenerator<Response, void> {
    try {
      for (let next = await this.take(); next.done !== true; next = await this.take()) {
        yield next.value;
      }
    } finally {
      this.cancel();
    }
  }

  /** False: it waits; `ready` tells when it has gone. */
  send(request: Request): boolean {
    let message: Buffer;
    try {
      message = requestMessage(this.#method, request, this.maxMessageBytes);
    } catch (thrown) {
      const { code, message: text } = StatusError.from(thrown);
      this.fail(code, text);
      return false;
    }
    const sent = this.write(message, false);
    if (this.queuedBytes > queuedBytesMax) {
      this.fail(Code.resourceExhausted, `over ${queuedBytesMax} bytes wait for the server`);
    }
    return sent;
  }

  /** Resolves when the call takes more, or is over. */
  ready(): Promise<void> {
    if (this.over || this.queuedBytes === 0) return Promise.resolve();
    return new Promise((resolve) => this.#writable.push(resolve));
  }

  /** No request follows. */
  endRequests(): void {
    this.write(nothing, true);
  }

  override onWritable(): void {
    const waiting = this.#writable;
    this.#writable = [];
    for (const wake of waiting) wake();
  }

  protected ended(failure: CallFailure | undefined): void {
    this.#failure ??= failure;
    if (this.dropped) this.#reader = undefined;
    this.onWritable();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) return;
    if (this.#failure !== undefined) waiting.reject(this.#failure);
    else waiting.resolve({ done: true, value: undefined });
  }

  #message(): { readonly value: Response } | undefined {
    const reader = this.#reader;
    if (reader === undefined) return undefined;
    try {
      const bytes = reader.next();
      // An unfinished message may be larger than the window: it is collected.
      const taken = bytes === undefined ? this.#held : this.#held - reader.bytes;
      this.consume(taken);
      this.#held -= taken;
      return bytes === undefined ? undefined : { value: this.#method.responseDeserialize(bytes) };
    } catch (thrown) {
      this.#refuse(thrown);
      return undefined;
    }
  }

  /** A message that cannot be read ends the call, also where the server has ended it before. */
  #refuse(thrown: unknown): void {
    const failure =
      thrown instanceof StatusError
        ? new CallFailure(thrown.code, thrown.message)
        : parsingFailure(thrown);
    this.#reader = undefined;
    this.#failure = failure;
    this.finish(failure);
  }
}

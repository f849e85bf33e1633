/**
 * Handlers that write their answers themselves, ready-made if they like: for streams on which a
 * Node stream, an iterator and a promise per message would cost more than the message.
 */
import type { handleBidiStreamingCall, ServerDuplexStream } from "@grpc/grpc-js";
import type { Log } from "../runtime/types.ts";
import { HandlerContext } from "./context.ts";
import type { Answers, DirectCall } from "./direct-call.ts";
import { DuplexDirectCall } from "./duplex-direct.ts";
import { type Adapted, adapted, answer } from "./handlers.ts";
import type { CallContext } from "./types.ts";

/** `handle` must not throw. It serves `answers` until they are closed. */
export function directStream<Request, Response>(
  handle: (
    requests: AsyncIterable<Request>,
    answers: Answers<Response>,
    context: CallContext,
  ) => void,
): Adapted<handleBidiStreamingCall<Request, Response>> {
  return adapted((log) => {
    const direct = (call: DirectCall) => {
      const context = new HandlerContext(call);
      const requests = call.requests() as AsyncIterable<Request>;
      handle(requests, new CallAnswers<Response>(call, context, log), context);
    };
    const plain = (call: ServerDuplexStream<Request, Response>) => {
      direct(new DuplexDirectCall(call as ServerDuplexStream<unknown, unknown>));
    };
    return Object.assign(plain, { direct });
  });
}

class CallAnswers<Response> implements Answers<Response> {
  readonly #call: DirectCall;
  readonly #context: HandlerContext;
  readonly #log: Log | undefined;

  constructor(call: DirectCall, context: HandlerContext, log: Log | undefined) {
    this.#call = call;
    this.#context = context;
    this.#log = log;
  }

  set onDrain(callback: () => void) {
    this.#call.onDrain = callback;
  }

  set onClosed(callback: () => void) {
    this.#call.onClosed = callback;
  }

  write(message: Response): boolean {
    return this.#call.write(message);
  }

  writeFramed(pieces: readonly Uint8Array[]): boolean {
    return this.#call.writeFramed(pieces);
  }

  end(): void {
    this.#context.finish();
    this.#call.end(this.#context.trailers);
  }

  fail(thrown: unknown): void {
    this.#call.fail(answer(thrown, this.#context, this.#log));
  }
}

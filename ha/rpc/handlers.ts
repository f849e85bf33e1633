/**
 * Makes grpc-js handlers from plain async functions.
 *
 * Whatever a function throws reaches the caller as canonical code, message and Kubernetes `Status`
 * (errors.ts). An unexpected error is logged with its stack and answered as `internal` without a
 * word of it. A cancelled call aborts `context.signal` and returns the function's iterator; what
 * the function does after that is ignored.
 */

import type { Readable, Writable } from "node:stream";
import type {
  handleBidiStreamingCall,
  handleClientStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  ServiceError,
} from "@grpc/grpc-js";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Log } from "../runtime/types.ts";
import { HandlerContext, type ServerCall } from "./context.ts";
import { fromServiceError, isServiceError, toServiceError } from "./errors.ts";
import { NotYet } from "./not-yet.ts";
import { readyIterator } from "./ready-iterator.ts";
import { cancelledError } from "./status-details.ts";
import type { CallContext } from "./types.ts";

/** A handler that {@link RpcServer.addService} gives the server's log. */
export type Adapted<Handler> = Handler & { withLog(log: Log): Handler };

/** A function that has its answer at once may give it without a promise. */
export function unary<Request, Response>(
  handle: (request: Request, context: CallContext) => Response | Promise<Response>,
): Adapted<handleUnaryCall<Request, Response>> {
  return adapted((log) => (call, callback) => {
    const context = new HandlerContext(call);
    const reply = (response: Response) => {
      context.finish();
      callback(null, response, context.trailers);
    };
    let isSecond = false;
    const failed = (thrown: unknown) => {
      if (isSecond || !(thrown instanceof NotYet)) {
        callback(answer(thrown, context, log));
        return;
      }
      isSecond = true;
      thrown.ready().then(() => attempt(handle, call.request, context, reply, failed), failed);
    };
    attempt(handle, call.request, context, reply, failed);
  });
}

/** At the top level: within `unary` it would be made anew for every call. */
function attempt<Request, Response>(
  handle: (request: Request, context: CallContext) => Response | Promise<Response>,
  request: Request,
  context: CallContext,
  reply: (response: Response) => void,
  failed: (thrown: unknown) => void,
): void {
  let response: Response | Promise<Response>;
  try {
    response = handle(request, context);
  } catch (thrown) {
    failed(thrown);
    return;
  }
  if (response instanceof Promise) response.then(reply, failed);
  else reply(response);
}

export function clientStream<Request, Response>(
  handle: (requests: AsyncIterable<Request>, context: CallContext) => Promise<Response>,
): Adapted<handleClientStreamingCall<Request, Response>> {
  return adapted((log) => (call, callback) => {
    const context = new HandlerContext(call);
    const reply = (response: Response) => {
      context.finish();
      callback(null, response, context.trailers);
    };
    const refuse = (thrown: unknown) => callback(answer(thrown, context, log));
    const attempt = () => invoke(() => handle(requestsOf(call, context), context));
    attempt()
      .catch(async (thrown) => {
        if (!(thrown instanceof NotYet)) throw thrown;
        await thrown.ready();
        return attempt();
      })
      .then(reply, refuse);
  });
}

export function serverStream<Request, Response>(
  handle: (request: Request, context: CallContext) => AsyncIterable<Response>,
): Adapted<handleServerStreamingCall<Request, Response>> {
  return adapted((log) => (call) => {
    const context = new HandlerContext(call);
    void pump(call, () => handle(call.request, context), context, log);
  });
}

export function bidiStream<Request, Response>(
  handle: (requests: AsyncIterable<Request>, context: CallContext) => AsyncIterable<Response>,
): Adapted<handleBidiStreamingCall<Request, Response>> {
  return adapted((log) => (call) => {
    const context = new HandlerContext(call);
    void pump(call, () => handle(requestsOf(call, context), context), context, log);
  });
}

/** Also catches what a function throws before it gives a promise. */
async function invoke<Response>(handle: () => Promise<Response>): Promise<Response> {
  return handle();
}

export function adapted<Handler extends object>(make: (log: Log | undefined) => Handler) {
  return Object.assign(make(undefined), { withLog: make }) as Adapted<Handler>;
}

type ResponseStream = ServerCall &
  Writable & { end(trailers?: unknown): unknown; emit(event: "error", error: Error): boolean };

/** Without a wait, if it can begin at once. */
function opened<Response>(
  open: () => AsyncIterable<Response>,
): AsyncIterable<Response> | Promise<AsyncIterable<Response>> {
  try {
    return open();
  } catch (thrown) {
    if (!(thrown instanceof NotYet)) throw thrown;
    return thrown.ready().then(open);
  }
}

/**
 * Writes what the iterable yields, no faster than the caller reads; then ends the call. Never
 * throws.
 */
async function pump<Response>(
  call: ResponseStream,
  open: () => AsyncIterable<Response>,
  context: HandlerContext,
  log: Log | undefined,
): Promise<void> {
  try {
    const iterator = readyIterator(await opened(open));
    let wake = () => {};
    context.whenCancelled(() => {
      wake();
      // A queue ends its pending read at once; a generator ends where it heeds the signal.
      iterator.return?.().catch((thrown) => reportLate(thrown, context, log));
    });
    while (!context.cancelled) {
      let value = iterator.ready();
      if (value === undefined) {
        const step = await iterator.next();
        if (context.cancelled) return;
        if (step.done) {
          context.finish();
          call.end(context.trailers);
          return;
        }
        value = step.value;
      }
      if (call.write(value) || !call.writableNeedDrain) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
        call.once("drain", resolve);
      });
    }
  } catch (thrown) {
    const error = answer(thrown, context, log);
    if (!call.destroyed) call.emit("error", error);
  }
}

/**
 * The caller's messages. Leaving the loop early only stops reading: the call can still be answered.
 */
export async function* requestsOf<Request>(
  call: Readable,
  context: { readonly cancelled: boolean },
): AsyncGenerator<Request, void> {
  try {
    for await (const request of call.iterator({ destroyOnReturn: false })) {
      yield request as Request;
    }
  } catch (thrown) {
    if (context.cancelled || call.destroyed) throw cancelledError();
    throw thrown;
  }
  // When a caller disconnects, grpc-js ends its request stream as if it were complete.
  if (context.cancelled) throw cancelledError();
}

/** The error to answer with; logs the unexpected. */
export function answer(
  thrown: unknown,
  context: HandlerContext,
  log: Log | undefined,
): ServiceError {
  const expected = expectedError(thrown);
  if (expected === undefined) {
    if (context.cancelled) reportLate(thrown, context, log);
    else reportUnexpected(thrown, context, log);
  }
  context.finish();
  const error = expected ?? new StatusError(Code.internal, "internal error");
  return toServiceError(error, context.trailers);
}

function expectedError(thrown: unknown): StatusError | undefined {
  if (thrown instanceof StatusError && thrown.code !== Code.ok) return thrown;
  if (isServiceError(thrown)) return fromServiceError(thrown);
  return undefined;
}

function reportUnexpected(thrown: unknown, context: HandlerContext, log: Log | undefined): void {
  const stack = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  if (log === undefined) process.emitWarning(`${context.path} failed: ${stack}`, "RpcHandler");
  else log.error("a handler failed unexpectedly", { path: context.path, error: stack });
}

/**
 * After a cancellation most functions end with an error about it: noise, unless one is debugging.
 */
function reportLate(thrown: unknown, context: HandlerContext, log: Log | undefined): void {
  const error = thrown instanceof Error ? thrown.message : String(thrown);
  log?.debug("a handler failed after its call was cancelled", { path: context.path, error });
}

/** Bidirectional calls of a client as iterables, one for each way. */
import { type CallOptions, type Client, type ClientDuplexStream, Metadata } from "@grpc/grpc-js";
import type { StreamSettings } from "./client.ts";
import { fromServiceError } from "./errors.ts";
import { cancelledError } from "./status-details.ts";

type DuplexMethod<Request, Response> = (
  metadata?: Metadata,
  options?: Partial<CallOptions>,
) => ClientDuplexStream<Request, Response>;

/** Names of the bidirectional methods of a generated client. */
type DuplexNames<C> = {
  [Name in keyof C]: C[Name] extends () => ClientDuplexStream<never, unknown> ? Name : never;
}[keyof C];
type RequestOf<Method> = Method extends DuplexMethod<infer Request, unknown> ? Request : never;
type ResponseOf<Method> = Method extends DuplexMethod<never, infer Response> ? Response : never;

/**
 * Sends what `requests` yields, no faster than the server takes it, and yields what comes back, no
 * faster than the loop reads. The end of `requests` is the end of that half; an error of theirs
 * ends the call with it. Leaving the loop, or the signal, cancels the call. Throws StatusErrors.
 */
export async function* duplexIterable<C extends Client, Name extends DuplexNames<C>>(
  client: C,
  method: Name,
  requests: AsyncIterable<RequestOf<C[Name]>>,
  settings: StreamSettings = {},
): AsyncGenerator<ResponseOf<C[Name]>, void> {
  const { signal } = settings;
  if (signal?.aborted) throw cancelledError();
  const invoke = client[method] as DuplexMethod<RequestOf<C[Name]>, ResponseOf<C[Name]>>;
  const metadata = settings.metadata ?? new Metadata();
  const deadline = settings.deadlineMillis;
  const options = deadline === undefined ? {} : { deadline: Date.now() + deadline };
  let stream: ClientDuplexStream<RequestOf<C[Name]>, ResponseOf<C[Name]>>;
  try {
    stream = invoke.call(client, metadata, options);
  } catch (thrown) {
    throw fromServiceError(thrown);
  }
  if (settings.onHeaders !== undefined) stream.once("metadata", settings.onHeaders);
  const cancel = () => stream.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  // After the caller has left the loop, no listener remains for the cancellation.
  stream.on("error", () => {});
  const messages = requests[Symbol.asyncIterator]();
  let refusal: { readonly error: unknown } | undefined;
  const sent = sendAll(stream, messages).catch((error: unknown) => {
    refusal = { error };
    stream.cancel();
  });
  try {
    for await (const message of stream) yield message as ResponseOf<C[Name]>;
  } catch (thrown) {
    if (refusal !== undefined) throw refusal.error;
    throw fromServiceError(thrown);
  } finally {
    signal?.removeEventListener("abort", cancel);
    stream.cancel();
    void sent;
    // A source that waits for its next message ends where it heeds its own signal.
    messages.return?.()?.catch(() => undefined);
  }
}

async function sendAll<Request, Response>(
  stream: ClientDuplexStream<Request, Response>,
  messages: AsyncIterator<Request>,
): Promise<void> {
  for (;;) {
    const step = await messages.next();
    if (stream.destroyed || stream.writableEnded) return;
    if (step.done) {
      stream.end();
      return;
    }
    if (!stream.write(step.value)) await drained(stream);
  }
}

/** Resolves when the stream takes more, or has ended. */
export function drained<Request, Response>(
  stream: ClientDuplexStream<Request, Response>,
): Promise<void> {
  if (stream.destroyed || !stream.writableNeedDrain) return Promise.resolve();
  return new Promise((resolve) => {
    const events = ["drain", "close", "end", "error"] as const;
    const done = () => {
      for (const event of events) stream.off(event, done);
      resolve();
    };
    for (const event of events) stream.on(event, done);
  });
}

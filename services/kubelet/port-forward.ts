/** Port-forward: one TCP connection to a port of a pod behind a stream of messages. */
import type { CallContext } from "../../ha/rpc/mod.ts";
import type { PortForwardRequest, PortForwardResponse } from "../../proto/gen/core.ts";
import { badRequest, firstOf, type PodSource, podOf } from "./requests.ts";
import type { ByteStream } from "./runtime/streams.ts";

/** Ends when the pod sends no more and the caller does neither, or when either breaks off. */
export async function* forwardPort(
  source: PodSource,
  requests: AsyncIterable<PortForwardRequest>,
  context: Pick<CallContext, "signal" | "sendHeaders">,
): AsyncGenerator<PortForwardResponse> {
  const messages = requests[Symbol.asyncIterator]();
  const first = await firstOf(messages);
  if (first.options === undefined) throw badRequest("options: missing in the first message");
  const { name = "", namespace = "", port = 0 } = first.options;
  if (port < 1 || port > 65_535) {
    throw badRequest(`options.port: ${port} must be between 1 and 65535`);
  }
  const pod = podOf(source, namespace, name);
  const { signal } = context;
  const stream = await source.runtime.portForward(pod.metadata?.uid ?? "", port, signal);
  try {
    context.sendHeaders();
    const sent = send(stream, first, messages).catch(() => stream.close());
    for await (const piece of stream.incoming) {
      yield { data: Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength) };
    }
    yield { ended: true };
    await sent;
  } finally {
    stream.close();
  }
}

async function send(
  stream: ByteStream,
  first: PortForwardRequest,
  messages: AsyncIterator<PortForwardRequest>,
): Promise<void> {
  for (let message: PortForwardRequest = first; ; ) {
    if (message.data !== undefined && message.data.length > 0) await stream.write(message.data);
    if (message.ended) break;
    const step = await messages.next();
    if (step.done) break;
    message = step.value;
  }
  stream.end();
}

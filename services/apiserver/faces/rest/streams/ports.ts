/**
 * Port-forward over the channels of a WebSocket: channel 2n has the data of the n-th port and
 * channel 2n + 1 its errors. The first message of each says the port in two bytes, low byte first.
 */
import { StatusError } from "../../../../../ha/runtime/status-error.ts";
import type { PortForwardRequest } from "../../../../../proto/gen/core.ts";
import { badRequest } from "../../../errors.ts";
import { limits } from "../../../limits.ts";
import { InputQueue } from "../../../nodes/input-queue.ts";
import type { Forwarding } from "../../../nodes/port-forward.ts";
import { type ChannelProtocol, decodeFrame, encodeFrame } from "./channels.ts";
import { CloseCode, type StreamSocket } from "./socket.ts";

/** The ports of a request: repeated, or separated by commas. Throws BadRequest. */
export function portsOf(values: readonly string[]): readonly number[] {
  if (values.length === 0) throw badRequest('query parameter "ports" is required');
  const ports = values.flatMap((value) => {
    if (value === "") throw badRequest('query parameter "ports" cannot be empty');
    return value.split(",").map((text) => {
      const port = Number(text);
      if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535) return port;
      throw badRequest(`unable to parse ${JSON.stringify(text)} as a port: 1 to 65535 is wanted`);
    });
  });
  if (ports.length > limits.streamPorts) {
    throw badRequest(`ports: ${ports.length} given, at most ${limits.streamPorts} are forwarded`);
  }
  return ports;
}

/** Ends when every port's connection has, or the client leaves. Never rejects. */
export async function servePorts(
  forwarding: Forwarding,
  ports: readonly number[],
  kind: ChannelProtocol,
  socket: StreamSocket,
): Promise<void> {
  const inputs = ports.map(() => new InputQueue<PortForwardRequest>());
  const taken = takeInput(kind, socket, inputs);
  await Promise.all(
    ports.map((port, index) => {
      const input = inputs[index] ?? new InputQueue<PortForwardRequest>();
      return servePort(forwarding, port, index, input, kind, socket);
    }),
  );
  socket.close(CloseCode.normal);
  await taken;
}

async function servePort(
  forwarding: Forwarding,
  port: number,
  index: number,
  input: InputQueue<PortForwardRequest>,
  kind: ChannelProtocol,
  socket: StreamSocket,
): Promise<void> {
  const dataChannel = 2 * index;
  const errorChannel = dataChannel + 1;
  const head = Buffer.alloc(2);
  head.writeUInt16LE(port);
  await socket.send(encodeFrame(kind, dataChannel, head));
  await socket.send(encodeFrame(kind, errorChannel, head));
  try {
    for await (const { data } of forwarding.connect(port, input)) {
      if (data?.length) await socket.send(encodeFrame(kind, dataChannel, data));
    }
  } catch (thrown) {
    const text = forwardFailure(forwarding, port, thrown);
    await socket.send(encodeFrame(kind, errorChannel, Buffer.from(text)));
  } finally {
    input.drop();
  }
}

/** As upstream words it. */
export function forwardFailure(forwarding: Forwarding, port: number, thrown: unknown): string {
  const { message } = StatusError.from(thrown);
  return `error forwarding port ${port} to pod ${forwarding.pod}: ${message}`;
}

/** Deals the client's messages out. A message that is none of the protocol's ends the connection. */
async function takeInput(
  kind: ChannelProtocol,
  socket: StreamSocket,
  inputs: readonly InputQueue<PortForwardRequest>[],
): Promise<void> {
  try {
    for await (const message of socket.messages()) {
      const frame = decodeFrame(kind, message);
      if (frame?.type !== "data" || frame.channel % 2 === 1) continue;
      const input = inputs[frame.channel / 2];
      input?.push({ data: frame.data }, frame.data.length);
      await input?.ready();
    }
  } catch (thrown) {
    socket.close(CloseCode.protocolError, (thrown as Error).message);
  }
  for (const input of inputs) input.end();
}

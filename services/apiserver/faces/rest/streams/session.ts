/** Exec and attach over the channels of a WebSocket. */
import type { ExecOptions, ExecRequest } from "../../../../../proto/gen/core.ts";
import type { Status } from "../../../../../proto/gen/meta.ts";
import { badRequest } from "../../../errors.ts";
import type { Session } from "../../../nodes/exec.ts";
import {
  Channel,
  ChannelError,
  type ChannelProtocol,
  decodeFrame,
  encodeFrame,
} from "./channels.ts";
import { CloseCode, type StreamSocket } from "./socket.ts";
import { brokenStatus, endedStatus } from "./status.ts";

/** Carries the session until its program ends or the client leaves. Never rejects. */
export async function serveSession(
  session: Session,
  options: ExecOptions,
  kind: ChannelProtocol,
  socket: StreamSocket,
  begun: () => boolean,
): Promise<void> {
  // Clients learn from the first message that the connection stands.
  const lowest = options.stdout ? Channel.stdout : options.stderr ? Channel.stderr : Channel.error;
  await socket.send(encodeFrame(kind, lowest, new Uint8Array()));
  let status: Status;
  try {
    let exitCode: number | undefined;
    const input = requestsOf(kind, socket.messages(), options);
    for await (const response of session.run(input)) {
      const { stdout, stderr } = response;
      if (stdout?.length) await socket.send(encodeFrame(kind, Channel.stdout, stdout));
      if (stderr?.length) await socket.send(encodeFrame(kind, Channel.stderr, stderr));
      exitCode ??= response.exitCode;
    }
    status = endedStatus(exitCode);
  } catch (thrown) {
    if (socket.gone.aborted) return;
    status = brokenStatus(thrown, begun());
  }
  const text = kind.statusDocument ? JSON.stringify(status) : (status.message ?? "");
  if (text !== "") await socket.send(encodeFrame(kind, Channel.error, Buffer.from(text)));
  socket.close(CloseCode.normal);
}

/** What the client sends, as requests. Throws BadRequest for what is none of the protocol's. */
async function* requestsOf(
  kind: ChannelProtocol,
  messages: AsyncIterable<Buffer>,
  options: ExecOptions,
): AsyncGenerator<ExecRequest, void> {
  for await (const message of messages) {
    const request = requestOf(kind, message, options);
    if (request !== undefined) yield request;
  }
}

/** Undefined: it asks for nothing. As upstream has it, channels that nothing reads are allowed. */
export function requestOf(
  kind: ChannelProtocol,
  message: Buffer,
  options: ExecOptions,
): ExecRequest | undefined {
  try {
    const frame = decodeFrame(kind, message);
    if (frame === undefined) return undefined;
    const { channel } = frame;
    if (channel === Channel.stdin) {
      if (!options.stdin) return undefined;
      return frame.type === "close" ? { stdinEnded: true } : { stdin: frame.data };
    }
    if (channel !== Channel.resize || frame.type === "close" || !options.tty) return undefined;
    return { resize: sizeOf(frame.data) };
  } catch (thrown) {
    if (thrown instanceof ChannelError) throw badRequest(thrown.message);
    throw thrown;
  }
}

/** Throws ChannelError. */
export function sizeOf(data: Buffer): { width: number; height: number } {
  let size: unknown;
  try {
    size = JSON.parse(data.toString("utf8"));
  } catch {
    throw new ChannelError("the resize channel carries JSON");
  }
  const { Width: width, Height: height } = (size ?? {}) as { Width?: unknown; Height?: unknown };
  for (const each of [width, height]) {
    if (typeof each !== "number" || !Number.isInteger(each) || each < 0 || each > 65_535) {
      throw new ChannelError('the resize channel carries {"Width":…,"Height":…}, each 0 to 65535');
    }
  }
  return { width: width as number, height: height as number };
}

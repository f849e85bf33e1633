/**
 * Channels within WebSocket messages: the first byte of a message names its channel
 * (apimachinery `pkg/util/httpstream/wsstream`). In the base64 forms it is a digit and text follows.
 */

/** Channels of exec and attach. */
export const Channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;

/** In place of a channel in v5: the channel that follows sends no more. */
const closeMark = 255;
const base64Zero = 0x30;

/** What one subprotocol means. */
export interface ChannelProtocol {
  /** As in Sec-WebSocket-Protocol; "": the client named none. */
  readonly name: string;
  readonly base64: boolean;
  /** Streams can be closed one by one. */
  readonly closes: boolean;
  /** The error channel gets a Status; otherwise its message alone, and nothing on success. */
  readonly statusDocument: boolean;
}

function protocol(name: string, more: Partial<ChannelProtocol> = {}): ChannelProtocol {
  return { name, base64: false, closes: false, statusDocument: true, ...more };
}

/** Of exec and attach, best first. */
export const sessionProtocols: readonly ChannelProtocol[] = [
  protocol("v5.channel.k8s.io", { closes: true }),
  protocol("v4.channel.k8s.io"),
  protocol("v4.base64.channel.k8s.io", { base64: true }),
  protocol("channel.k8s.io", { statusDocument: false }),
  protocol("base64.channel.k8s.io", { base64: true, statusDocument: false }),
  protocol("", { statusDocument: false }),
];

/** Of port-forward, where each port has two channels. */
export const portProtocols: readonly ChannelProtocol[] = [
  protocol("v4.channel.k8s.io"),
  protocol("v4.base64.channel.k8s.io", { base64: true }),
  protocol(""),
];

export type ChannelFrame =
  | { readonly type: "data"; readonly channel: number; readonly data: Buffer }
  | { readonly type: "close"; readonly channel: number };

/** Why a message is none of the protocol's. */
export class ChannelError extends Error {
  override readonly name = "ChannelError";
}

/** Undefined for an empty message, which says nothing. Throws ChannelError. */
export function decodeFrame(kind: ChannelProtocol, message: Buffer): ChannelFrame | undefined {
  const [first] = message;
  if (first === undefined) return undefined;
  if (kind.closes && first === closeMark) {
    const channel = message[1];
    if (channel === undefined || message.length !== 2) {
      throw new ChannelError("a close message has two bytes: 255 and a channel");
    }
    return { type: "close", channel };
  }
  const body = message.subarray(1);
  if (!kind.base64) return { type: "data", channel: first, data: body };
  const channel = first - base64Zero;
  if (channel < 0 || channel > 9) throw new ChannelError("a base64 message begins with a digit");
  return { type: "data", channel, data: fromBase64(body.toString("latin1")) };
}

function fromBase64(text: string): Buffer {
  const trimmed = text.trim();
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(trimmed) || trimmed.length % 4 !== 0) {
    throw new ChannelError("a message is not base64");
  }
  return Buffer.from(trimmed, "base64");
}

/** A text for the base64 forms. */
export function encodeFrame(
  kind: ChannelProtocol,
  channel: number,
  data: Uint8Array,
): Buffer | string {
  if (kind.base64) {
    const { buffer, byteOffset, byteLength } = data;
    return `${channel}${Buffer.from(buffer, byteOffset, byteLength).toString("base64")}`;
  }
  const message = Buffer.allocUnsafe(data.length + 1);
  message[0] = channel;
  message.set(data, 1);
  return message;
}

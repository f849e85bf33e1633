import type { ConnectionError } from "./codes.ts";
import type { HeaderBlock } from "./header-block.ts";
import type { Stream } from "./stream.ts";

export type Role = "server" | "client";

/**
 * Why a stream ended early. `peer`: it sent RST_STREAM. `violation`: it broke a rule, and was sent
 * one. `refused`: its GOAWAY says that it has not touched the stream, and it may be sent elsewhere.
 * `closed`: the connection is gone, and it is unknown whether the peer has handled the stream.
 */
export type ResetCause = "peer" | "violation" | "refused" | "closed";

/**
 * What the owner of a connection is told, one call at a time, in the order of the wire. It may call
 * the connection from within.
 */
export interface ConnectionHandler {
  /**
   * Server: a new stream. Client: the final response. `block` is shared and must not be changed.
   */
  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void;
  /**
   * A piece of the body: `bytes[start..end)`, which are not overwritten later. They count against
   * the windows until given to {@link Connection.consume}.
   */
  onData(stream: Stream, bytes: Buffer, start: number, end: number, endStream: boolean): void;
  /** The end of the peer's half, with trailers. */
  onTrailers(stream: Stream, block: HeaderBlock): void;
  /** The end of the stream; nothing more can be sent or received. Not told of resets of our own. */
  onReset(stream: Stream, code: number, cause: ResetCause): void;
  /** {@link Connection.data} has said false, and everything has gone out since. */
  onWritable(stream: Stream): void;
  /** The peer opens and takes no more streams. */
  onGoaway(lastStreamId: number, code: number, text: string): void;
  /** The peer's settings have arrived or changed. */
  onSettings?(): void;
  /** The connection is over, and its streams have been told. Last. `error`: what the peer broke. */
  onClose(error: ConnectionError | undefined): void;
}

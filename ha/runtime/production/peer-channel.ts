/** The two ways in which a link's frames travel, as one: a libp2p stream, or a lane. */
import type { Socket } from "node:net";
import type { Libp2p } from "libp2p";
import { FrameError, type FrameReader } from "./peer-frames.ts";

export type Connection = ReturnType<Libp2p["getConnections"]>[number];
export type PeerStream = Awaited<ReturnType<Connection["newStream"]>>;

export interface Channel {
  /** False: nothing more for now. Throws when it is closing. */
  send(bytes: Uint8Array): boolean;
  /** `writable` is called when it no longer is. */
  readonly full: boolean;
  readonly queuedBytes: number;
  /** Closes at once; unsent frames are dropped. */
  abort(reason: Error): void;
  /** Closes in order, without waiting for the peer. */
  close(): void;
}

interface ChannelEvents {
  /** Gets everything that arrives. A peer that breaks the format loses its channel. */
  readonly reader: FrameReader;
  readonly writable?: () => void;
  /** Called once, however it ended. */
  readonly closed: () => void;
}

export function streamChannel(stream: PeerStream, events: ChannelEvents): Channel {
  const { reader, writable } = events;
  const closed = once(events.closed);
  stream.addEventListener("close", closed);
  stream.addEventListener("remoteCloseWrite", closed);
  if (writable) {
    stream.addEventListener("drain", writable);
    stream.addEventListener("idle", writable);
  }
  stream.addEventListener("message", ({ data }) => {
    const chunks = data instanceof Uint8Array ? [data] : data;
    feed(reader, chunks, (error) => stream.abort(error));
  });
  return {
    send: (bytes) => stream.send(bytes),
    get full() {
      return stream.writableNeedsDrain;
    },
    get queuedBytes() {
      return stream.writeBufferLength;
    },
    abort: (reason) => stream.abort(reason),
    // The sent frames are on their way; the close of the other end is not awaited.
    close: () => stream.abort(new Error("closing")),
  };
}

export function laneChannel(socket: Socket, events: ChannelEvents): Channel {
  const { reader, writable } = events;
  socket.on("close", once(events.closed));
  // The `close` event that follows ends the lane.
  socket.on("error", () => {});
  if (writable) socket.on("drain", writable);
  socket.on("data", (chunk: Buffer) => feed(reader, [chunk], () => socket.destroy()));
  return {
    send: (bytes) => socket.write(bytes),
    get full() {
      return socket.writableNeedDrain;
    },
    get queuedBytes() {
      return socket.writableLength;
    },
    abort: () => socket.destroy(),
    close: () => socket.destroySoon(),
  };
}

function feed(
  reader: FrameReader,
  chunks: Iterable<Uint8Array>,
  abort: (error: Error) => void,
): void {
  try {
    for (const chunk of chunks) reader.push(chunk);
  } catch (error) {
    abort(error instanceof Error ? error : new Error(String(error)));
    if (error instanceof FrameError) return;
    // A handler failed: the error is thrown in an event of its own, where no caller can swallow it.
    process.nextTick(() => {
      throw error;
    });
  }
}

function once(call: () => void): () => void {
  let called = false;
  return () => {
    if (!called) call();
    called = true;
  };
}

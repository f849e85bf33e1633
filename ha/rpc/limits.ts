import { defaultTimers } from "../runtime/timers.ts";

/**
 * The limits of every gRPC edge, in one place. They bound what one peer can make a process hold;
 * gRPC's own defaults are kept where there is one.
 */
export const rpcLimits = {
  /** Bytes of one message, either way (grpc's default for receiving). */
  messageBytes: 4 * 1024 * 1024,
  /**
   * Bytes that requests under way hold on one server, and on one of its connections; a request that
   * comes in one frame (16 KiB) does not count.
   */
  requestBytes: 256 * 1024 * 1024,
  connectionRequestBytes: 128 * 1024 * 1024,
  /** A message of a request that has begun must come in full within this. */
  messageMillis: 60_000,
  /** Bytes of a header block: names, values and 32 a field (RFC 9113 section 6.5.2). */
  metadataBytes: 16 * 1024,
  /** Fields of a header block. */
  metadataFields: 128,
  /**
   * A caller that takes nothing of an answer in pieces (a long list) for so long gives up what it
   * holds of the server's attention …
   */
  pieceIdleMillis: 2_000,
  /** … after so long it is cut off, as is one that has not taken it all within the last time. */
  pieceStalledMillis: 30_000,
  pieceAnswerMillis: 300_000,
  /** Calls under way on one connection; a balancer sends all clients' calls over one. */
  concurrentStreams: 10_000,
  /** Connections of one listener; the next one is closed at once. */
  connections: 4_096,
  /** A client that has not finished its TLS handshake by then is cut off. */
  handshakeMillis: 10_000,
  /** After a drain's grace, the last answers get so long to leave. */
  lingerMillis: 1_000,
  /** HTTP/1.1: bytes of a request's head, and how long it may take to come. */
  http1HeaderBytes: 8 * 1024,
  http1RequestMillis: 5_000,
  /** Flow-control window of a stream: what a sender may have on the way unread. */
  streamWindowBytes: 256 * 1024,
  /** A connection idle for so long is asked for a sign of life … */
  keepaliveMillis: defaultTimers.keepalive,
  /** … and closed without one after this. */
  keepaliveTimeoutMillis: defaultTimers.keepaliveTimeout,
  /**
   * Resets a client may send in a burst; Node closes the connection beyond it (its default: 1,000).
   */
  streamResetBurst: 10_000,
  /** Resets a second by which the burst refills (Node's default: 33). */
  streamResetRate: 1_000,
  /** Invalid frames before a connection is closed. */
  invalidFrames: 100,
  /** Streams refused at the limit before a connection is closed. */
  rejectedStreams: 1_000,
  /** A server that a client dials must have answered by then. */
  connectMillis: 3_000,
  /** Delay before a broken client connection is dialled again, first and at most. */
  reconnectMinMillis: 50,
  reconnectMaxMillis: 1_000,
  /**
   * Bytes of all trailers of a call together, as HTTP/2 counts them, unless the caller takes less:
   * grpc-core's soft limit for what it receives, beyond which it rejects some answers.
   */
  trailerBytes: 8 * 1024,
  /** Bytes of an error's message on the wire, percent-encoded in `grpc-message`. */
  errorMessageBytes: 2_048,
  /** Characters of a name or text in an error's details. */
  errorDetailCharacters: 512,
} as const;

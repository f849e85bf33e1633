/**
 * One stream (RFC 9113 section 5.1), as a record that the connection keeps and its owner is handed.
 *
 *            HEADERS in or out          END_STREAM in: remoteClosed
 *     idle ──────────────────► open ─────────────────────────────────► half-closed
 *                                │     END_STREAM out: localClosed          │ the other one
 *                                └────────────── RST_STREAM ──────────► closed
 *
 * Idle streams have no record, closed ones are no longer in the connection's table.
 */
export class Stream {
  readonly id: number;
  /** The owner's own. */
  user: unknown;

  /** This end has sent END_STREAM (it may still be queued: see `ending`). */
  localClosed = false;
  /** The peer has sent END_STREAM. */
  remoteClosed = false;
  closed = false;
  /** Client: the final response's header block has arrived. */
  answered = false;
  informational = 0;

  /** DATA bytes this end may still send; negative after the peer has lowered its setting. */
  sendWindow: number;
  /** DATA bytes the peer may still send. */
  receiveWindow: number;
  /** Received, and not yet consumed by the owner. */
  unconsumed = 0;
  /** Consumed, and not yet granted anew to the peer. */
  owed = 0;
  /** Left of the declared content-length; -1: not declared. */
  bodyLeft = -1;

  /** Output that waits for the windows: DATA in order; then END_STREAM, or trailers with it. */
  queue: Uint8Array[] | undefined;
  queuedBytes = 0;
  ending = false;
  trailers: Uint8Array | undefined;
  /** The stream is in the queue of the sender. */
  waiting = false;
  /** The owner was told to wait. */
  wantsWritable = false;

  constructor(id: number, sendWindow: number, receiveWindow: number, user: unknown) {
    this.id = id;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
    this.user = user;
  }
}

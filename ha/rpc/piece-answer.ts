/** A body on its way to the peer, a piece at a time, as fast as the peer reads. */
import type { Connection, Stream } from "../http2/mod.ts";
import { StatusError } from "../runtime/status-error.ts";
import { rpcLimits } from "./limits.ts";
import { type PieceSource, type PieceWriter, pieceBytes, pieceTurns } from "./piecewise.ts";

/** What is answered. */
interface PieceAnswerOwner {
  /** All pieces have been written. */
  written(): void;
  /** The rest cannot be made. */
  failed(error: StatusError): void;
  /** The peer has read nothing for too long, or takes too long for the whole: it is cut off. */
  stalled(): void;
}

export class PieceAnswer implements PieceWriter {
  readonly #connection: Connection;
  readonly #stream: Stream;
  readonly #source: PieceSource;
  readonly #owner: PieceAnswerOwner;
  readonly #beganAt = performance.now();
  /** The peer's windows or the socket are full: `resume` tells when they are not. */
  #blockedSince: number | undefined;
  #closed = false;

  constructor(
    connection: Connection,
    stream: Stream,
    source: PieceSource,
    owner: PieceAnswerOwner,
  ) {
    this.#connection = connection;
    this.#stream = stream;
    this.#source = source;
    this.#owner = owner;
  }

  /** The head has been written, and maybe waits: then `resume` tells when it is gone. */
  begin(waits: boolean): void {
    openAnswers.add(this);
    if (waits) this.#blockedSince = performance.now();
    else pieceTurns.add(this);
  }

  get wantsPiece(): boolean {
    return !this.#closed && this.#blockedSince === undefined;
  }

  writePiece(): number {
    const room = this.#connection.room(this.#stream);
    const wanted = Math.min(Math.max(room, pieceBytes.least), pieceBytes.most);
    let piece: Uint8Array | undefined;
    try {
      piece = this.#source.next(wanted);
    } catch (thrown) {
      this.close();
      this.#owner.failed(StatusError.from(thrown));
      return 0;
    }
    if (piece === undefined) {
      this.close();
      this.#owner.written();
      return 0;
    }
    // What the stream keeps must not be overwritten.
    const kept = piece.length > room ? Buffer.from(piece) : piece;
    if (!this.#connection.data(this.#stream, kept, false)) this.#blockedSince = performance.now();
    return piece.length;
  }

  /** The written bytes have been sent. */
  resume(): void {
    if (this.#blockedSince === undefined) return;
    this.#blockedSince = undefined;
    if (!this.#closed) pieceTurns.add(this);
  }

  /** No piece is made any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    openAnswers.remove(this);
    this.#source.close();
  }

  /** Cuts off a peer that takes too long. */
  check(now: number): void {
    const { pieceIdleMillis, pieceStalledMillis, pieceAnswerMillis } = rpcLimits;
    const waited = now - (this.#blockedSince ?? now);
    if (waited > pieceIdleMillis) this.#source.idle();
    if (waited <= pieceStalledMillis && now - this.#beganAt <= pieceAnswerMillis) return;
    this.close();
    this.#owner.stalled();
  }
}

const checkMillis = 1_000;

/** All answers under way, under one timer. */
class OpenAnswers {
  readonly #answers = new Set<PieceAnswer>();
  #timer: NodeJS.Timeout | undefined;

  add(answer: PieceAnswer): void {
    this.#answers.add(answer);
    this.#timer ??= setInterval(() => this.check(performance.now()), checkMillis).unref();
  }

  remove(answer: PieceAnswer): void {
    this.#answers.delete(answer);
    if (this.#answers.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  check(now: number): void {
    for (const answer of [...this.#answers]) answer.check(now);
  }
}

export const openAnswers = new OpenAnswers();

/** A response that is written a piece at a time: head, prefix, pieces, trailers. */
import type { Connection, Stream } from "../../http2/mod.ts";
import { Code, StatusError } from "../../runtime/status-error.ts";
import { type PieceWriter, type PiecewiseMessage, pieceTurns } from "../piecewise.ts";
import { prefixBytes, writeMessagePrefix } from "./messages.ts";

/** The call that is answered. */
export interface PiecewiseOwner {
  /** All pieces have been written. */
  written(): void;
  /** The rest cannot be made. */
  failed(error: StatusError): void;
}

export class PiecewiseAnswer implements PieceWriter {
  readonly #connection: Connection;
  readonly #stream: Stream;
  readonly #message: PiecewiseMessage;
  readonly #owner: PiecewiseOwner;
  #left: number;
  /** The peer's windows or the socket are full: `resume` tells when they are not. */
  #blocked = false;
  #closed = false;

  constructor(
    connection: Connection,
    stream: Stream,
    message: PiecewiseMessage,
    owner: PiecewiseOwner,
  ) {
    this.#connection = connection;
    this.#stream = stream;
    this.#message = message;
    this.#owner = owner;
    this.#left = message.length;
  }

  /** The head has been written. */
  begin(): void {
    const prefix = new Uint8Array(prefixBytes);
    writeMessagePrefix(prefix, 0, this.#message.length);
    this.#blocked = !this.#connection.data(this.#stream, prefix, false);
    if (!this.#blocked) pieceTurns.add(this);
  }

  get wantsPiece(): boolean {
    return !this.#closed && !this.#blocked;
  }

  writePiece(): number {
    let piece: Uint8Array;
    try {
      piece = this.#message.next();
      if (piece.length === 0 || piece.length > this.#left) {
        throw new StatusError(Code.internal, "a message is not as long as it was announced");
      }
    } catch (thrown) {
      this.close();
      this.#owner.failed(StatusError.from(thrown));
      return 0;
    }
    this.#left -= piece.length;
    this.#blocked = !this.#connection.data(this.#stream, piece, false);
    if (this.#left === 0) {
      this.close();
      this.#owner.written();
    }
    return piece.length;
  }

  /** The written bytes have been sent. */
  resume(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    if (!this.#closed) pieceTurns.add(this);
  }

  /** No piece is made any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#message.close();
  }
}

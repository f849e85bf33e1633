/**
 * A response whose encoded form is made a piece at a time, as fast as the caller reads: for
 * messages of many megabytes, which would otherwise be held as a whole, in memory and on the event
 * loop.
 *
 * The pieces of all such responses of a process are made in turns: in one turn of the event loop
 * at most {@link turnBytes} of them all together, and for at most {@link turnMillis} or a piece
 * longer, so that other calls are served in between.
 */
import { cancelledError } from "./status-details.ts";

/** A body that is made a piece at a time. */
export interface PieceSource {
  /**
   * The next piece, whose bytes may be overwritten from the next call of any source on; undefined:
   * there are no more. It has at most `room` bytes, or as few more as can be. What it throws ends
   * the answer in the middle.
   */
  next(room: number): Uint8Array | undefined;
  /** The peer has read nothing for a while (rpcLimits.pieceIdleMillis); it may go on later. */
  idle(): void;
  /** Called once, when no piece is wanted any more. */
  close(): void;
}

/** Bytes that a piece is to have: at least, where the peer takes little, and at most. */
export const pieceBytes = { least: 16 * 1024, most: 64 * 1024 } as const;

/** What a unary handler may answer in place of a message. */
export abstract class PiecewiseMessage {
  /** Bytes of the encoded message. */
  abstract readonly length: number;
  /**
   * The next piece, as a PieceSource gives it. Called until all pieces together have `length` bytes.
   */
  abstract next(room: number): Uint8Array;
  /** See PieceSource. */
  idle(): void {}
  /** Called once, when no piece is wanted any more. */
  abstract close(): void;

  /** The whole message, for an engine that cannot do better. */
  whole(): Buffer {
    try {
      const message = Buffer.allocUnsafe(this.length);
      let at = 0;
      while (at < this.length) {
        const piece = this.next(pieceBytes.most);
        message.set(piece, at);
        at += piece.length;
      }
      return message;
    } finally {
      this.close();
    }
  }
}

/** A response on its way. */
export interface PieceWriter {
  /** Writes the next piece; answers its bytes. */
  writePiece(): number;
  /** Whether it can take another piece now. */
  readonly wantsPiece: boolean;
}

/** Bytes made in one turn of the event loop, and how long that may take. */
const turnBytes = 256 * 1024;
const turnMillis = 2;

/** Gives each response a piece in turn, and each other long work a slice. */
class PieceTurns {
  #line: PieceWriter[] = [];
  #scheduled = false;
  /** Of all pieces so far. */
  bytesMade = 0;

  /** Pieces that are waited for, or slices. */
  get waiting(): number {
    return this.#line.length;
  }

  /** A single piece, made when its turn has come. Rejects with what `make` throws. */
  piece<T extends Uint8Array | undefined>(make: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.add(
        new Once(() => {
          try {
            const piece = make();
            resolve(piece);
            return piece?.length ?? 0;
          } catch (thrown) {
            reject(thrown);
            return 0;
          }
        }),
      );
    });
  }

  /** Work that cannot be divided, done when its turn has come. Rejects with what `work` throws. */
  async whole<T>(work: () => T): Promise<T> {
    const done: T[] = [];
    await this.piece(() => {
      done.push(work());
      return undefined;
    });
    return done[0] as T;
  }

  /**
   * Does work of many steps, a slice a turn. `step` answers false when there is no more to do; one
   * step must take a small part of {@link sliceMillis}. Rejects with what `step` throws, and when
   * the signal aborts.
   */
  async inSlices(step: () => boolean, signal?: AbortSignal): Promise<void> {
    let over = false;
    const slice = () => {
      const until = performance.now() + sliceMillis;
      let goesOn = true;
      while (goesOn && performance.now() < until) goesOn = step();
      over = !goesOn;
      return undefined;
    };
    while (!over) {
      if (signal?.aborted) throw cancelledError();
      await this.piece(slice);
    }
  }

  /** The writer wants its next piece; at most once at a time. */
  add(writer: PieceWriter): void {
    this.#line.push(writer);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#line.length === 0) return;
    this.#scheduled = true;
    setImmediate(this.#run);
  }

  readonly #run = (): void => {
    this.#scheduled = false;
    let bytes = 0;
    let served = 0;
    const line = this.#line;
    this.#line = [];
    const until = performance.now() + turnMillis;
    while (served < line.length && bytes < turnBytes && performance.now() < until) {
      const writer = line[served++] as PieceWriter;
      if (!writer.wantsPiece) continue;
      bytes += writer.writePiece();
      if (writer.wantsPiece) line.push(writer);
    }
    this.bytesMade += bytes;
    this.#line = [...line.slice(served), ...this.#line];
    this.#schedule();
  };
}

/** Work that is done with one turn. */
class Once implements PieceWriter {
  readonly writePiece: () => number;
  wantsPiece = true;

  constructor(make: () => number) {
    this.writePiece = () => {
      this.wantsPiece = false;
      return make();
    };
  }
}

/** How long a slice of other work lasts. */
const sliceMillis = 1;

export const pieceTurns = new PieceTurns();

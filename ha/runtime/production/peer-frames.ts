/**
 * Frames of a peer stream: a 4-byte big-endian word (kind in the upper 8 bits, length in the lower
 * 24), then the payload.
 *
 * ```
 *   opener   ── ping ─────────────────────►  acceptor      the first pong proves that the peer
 *   opener   ◄───────────────────── pong ──  acceptor      took the connection
 *   opener   ── laneRequest ──────────────►  acceptor      see peer-lane.ts
 *   opener   ◄──────────────── laneOffer ──  acceptor
 *   opener   ── message, message, ping … ─►  acceptor
 * ```
 */
export const FrameKind = {
  message: 0,
  ping: 1,
  pong: 2,
  laneRequest: 3,
  laneOffer: 4,
  plainLaneRequest: 5,
  plainLaneOffer: 6,
} as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

export const frameHeaderBytes = 4;
/** Of payload; both ends refuse more. */
export const frameBytesMax = 8 * 1024 * 1024;

/** A port in 2 bytes, a name in 16, a key in 32. */
export const laneOfferBytes = 50;

/** The other end does not keep to the format; its stream cannot be read on. */
export class FrameError extends Error {
  override readonly name = "FrameError";
}

export function writeFrameHeader(
  target: Buffer,
  offset: number,
  kind: FrameKind,
  length: number,
): void {
  target.writeUInt32BE(kind * 2 ** 24 + length, offset);
}

export function controlFrame(kind: FrameKind, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const frame = Buffer.alloc(frameHeaderBytes + payload.length);
  writeFrameHeader(frame, 0, kind, payload.length);
  frame.set(payload, frameHeaderBytes);
  return frame;
}

const payloadBytesMax: Readonly<Record<FrameKind, number>> = {
  [FrameKind.message]: frameBytesMax,
  [FrameKind.ping]: 0,
  [FrameKind.pong]: 0,
  [FrameKind.laneRequest]: 0,
  [FrameKind.laneOffer]: laneOfferBytes,
  [FrameKind.plainLaneRequest]: 0,
  [FrameKind.plainLaneOffer]: laneOfferBytes,
};

/** Cuts a byte stream into frames. A payload that lies within one chunk is a view of it. */
export class FrameReader {
  readonly #onFrame: (kind: FrameKind, payload: Uint8Array) => void;
  readonly #header = new Uint8Array(frameHeaderBytes);
  #headerFilled = 0;
  #kind: FrameKind = FrameKind.message;
  #length = 0;
  /** Pieces of a payload that came in several chunks. */
  #pieces: Uint8Array[] = [];
  #missing = 0;

  constructor(onFrame: (kind: FrameKind, payload: Uint8Array) => void) {
    this.#onFrame = onFrame;
  }

  /** Throws {@link FrameError}; the reader must not be used after that. */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#headerFilled < frameHeaderBytes) {
        this.#header[this.#headerFilled++] = chunk[at++] ?? 0;
        if (this.#headerFilled === frameHeaderBytes) this.#beginPayload();
        continue;
      }
      const piece = chunk.subarray(at, Math.min(at + this.#missing, chunk.length));
      at += piece.length;
      this.#missing -= piece.length;
      if (this.#missing === 0) this.#deliver(piece);
      else this.#pieces.push(piece);
    }
  }

  #beginPayload(): void {
    const [kind = 0, high = 0, middle = 0, low = 0] = this.#header;
    this.#length = (high << 16) | (middle << 8) | low;
    if (!(kind in payloadBytesMax)) throw new FrameError(`frame kind ${kind} is unknown`);
    const max = payloadBytesMax[kind as FrameKind];
    if (this.#length > max) {
      throw new FrameError(`a frame of kind ${kind} has ${this.#length} bytes, more than ${max}`);
    }
    this.#kind = kind as FrameKind;
    this.#missing = this.#length;
    if (this.#length === 0) this.#deliver(new Uint8Array(0));
  }

  #deliver(lastPiece: Uint8Array): void {
    const pieces = this.#pieces;
    this.#headerFilled = 0;
    // Plain bytes: the `slice` of a Buffer would be a view, and no copy.
    let payload = new Uint8Array(lastPiece.buffer, lastPiece.byteOffset, lastPiece.length);
    if (pieces.length > 0) {
      pieces.push(lastPiece);
      payload = new Uint8Array(this.#length);
      let offset = 0;
      for (const piece of pieces) {
        payload.set(piece, offset);
        offset += piece.length;
      }
      this.#pieces = [];
    }
    this.#onFrame(this.#kind, payload);
  }
}

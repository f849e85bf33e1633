/** Responses of many watches of one stream as the bytes of its messages, in few large pieces. */
import { messagePrefixBytes, writeMessagePrefix } from "../rpc/mod.ts";

/** Bodies up to this size are copied behind their header, larger ones sent as they are. */
const copyBytes = 4 * 1024;
const largestPieceBytes = 64 * 1024;
/** Field 2, a varint. */
const idTag = 0x10;
/** Of the tag and a number below 2 ** 31. */
const idBytesMax = 6;

export class WatchFrames {
  private pieces: Uint8Array[] = [];
  private piece = Buffer.alloc(0);
  /** What of the piece belongs to messages of ours: `from..at`. */
  private from = 0;
  private at = 0;
  /** Bytes that have been added since the last `take`. */
  bytes = 0;

  /**
   * Adds a response. `id` is below 2 ** 31, 0 for none; `alike`: how many more of about this size
   * are likely to follow.
   */
  add(header: Uint8Array, id: number, body: Uint8Array, alike: number): void {
    const copied = body.length <= copyBytes;
    const most = messagePrefixBytes + header.length + idBytesMax + (copied ? body.length : 0);
    if (this.piece.length - this.at < most) {
      this.cut();
      const room = Math.min(most * (1 + alike), largestPieceBytes);
      this.piece = Buffer.allocUnsafe(Math.max(room, most));
      this.from = 0;
      this.at = 0;
    }
    const { piece, at: start } = this;
    piece.set(header, start + messagePrefixBytes);
    let at = writeId(piece, start + messagePrefixBytes + header.length, id);
    const length = at - start - messagePrefixBytes + body.length;
    writeMessagePrefix(piece, start, length);
    this.bytes += messagePrefixBytes + length;
    if (copied) {
      piece.set(body, at);
      at += body.length;
    }
    this.at = at;
    if (copied) return;
    this.cut();
    this.pieces.push(body);
  }

  /** What has been added. */
  take(): readonly Uint8Array[] {
    this.cut();
    const { pieces } = this;
    this.pieces = [];
    this.bytes = 0;
    return pieces;
  }

  private cut(): void {
    if (this.at === this.from) return;
    this.pieces.push(this.piece.subarray(this.from, this.at));
    this.from = this.at;
  }
}

function writeId(into: Uint8Array, at: number, id: number): number {
  if (id === 0) return at;
  into[at++] = idTag;
  let rest = id;
  for (; rest > 0x7f; rest >>>= 7) into[at++] = (rest & 0x7f) | 0x80;
  into[at++] = rest;
  return at;
}

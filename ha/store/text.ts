/**
 * Keys and values inside the store are "texts": strings with one character per byte (latin1).
 *
 * Why not `Uint8Array`: a typed array costs 100 to 400 bytes besides its content and cannot be a
 * Map key, and one decoded as a view keeps its whole message alive. A one-byte string costs 16,
 * is copied out of its message by being made, hashes, and compares in byte order (code units are
 * bytes). Measured: a million keys of 256 bytes fit in about 0.5 GB.
 */
import type { KeyRange } from "./types.ts";

const none = new Uint8Array(0);

export function textOf(bytes: Uint8Array): string {
  return bufferOf(bytes).toString("latin1");
}

/** The same bytes as a `Buffer`. */
export function bufferOf(bytes: Uint8Array): Buffer {
  if (bytes instanceof Buffer) return bytes;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function bytesOf(text: string): Uint8Array {
  return text.length === 0 ? none : Buffer.from(text, "latin1");
}

/**
 * End of a range, exclusive: undefined for the one key, {@link unbounded} for "from key on"
 * (etcd's `\0`). An empty end means a single key too.
 */
export type RangeEnd = string | undefined;
/** Sorts after every latin1 text, and is none. */
export const unbounded = "\u{ffff}";

export function endOf(range: KeyRange): RangeEnd {
  const { rangeEnd } = range;
  return rangeEnd === undefined ? undefined : endOfText(textOf(rangeEnd));
}

export function endOfText(rangeEnd: string | undefined): RangeEnd {
  if (rangeEnd === undefined || rangeEnd.length === 0) return undefined;
  return rangeEnd === "\0" ? unbounded : rangeEnd;
}

/** Whether `key` is in the range that begins at `start`. */
export function inRange(key: string, start: string, end: RangeEnd): boolean {
  return end === undefined ? key === start : key >= start && key < end;
}

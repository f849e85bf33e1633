/** Keys as bytes, and as latin1 texts that compare in byte order. */
const none = Buffer.alloc(0);

/** The same bytes as a `Buffer`, which generated messages hold. */
export function bufferOf(bytes: Uint8Array): Buffer {
  if (bytes instanceof Buffer) return bytes;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function textOf(bytes: Uint8Array): string {
  return bufferOf(bytes).toString("latin1");
}

export function bytesOf(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

export function orNone(bytes: Buffer | undefined): Buffer {
  return bytes ?? none;
}

/** An absent range end stands for a single key, which the wire says with an empty one. */
export function endOf(rangeEnd: Buffer | undefined): Buffer | undefined {
  return rangeEnd === undefined || rangeEnd.length === 0 ? undefined : rangeEnd;
}

/** The range of all keys that begin with `prefix`, which must not be empty or all 0xff. */
export function prefixEnd(prefix: Uint8Array): Buffer {
  const end = Buffer.from(prefix);
  for (let index = end.length - 1; index >= 0; index--) {
    const byte = end[index] as number;
    if (byte === 0xff) continue;
    end[index] = byte + 1;
    return end.subarray(0, index + 1);
  }
  return Buffer.of(0);
}

/**
 * A range of keys as texts: `end` exclusive, undefined when there is none; a single key ends at
 * itself with a zero byte added, which is the next key there can be.
 */
export interface Interval {
  readonly start: string;
  readonly end: string | undefined;
}

export function intervalOf(key: Uint8Array, rangeEnd: Uint8Array | undefined): Interval {
  const start = textOf(key);
  if (rangeEnd === undefined || rangeEnd.length === 0) return { start, end: `${start}\0` };
  return { start, end: rangeEnd.length === 1 && rangeEnd[0] === 0 ? undefined : textOf(rangeEnd) };
}

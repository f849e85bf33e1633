/** The few words of DER (ITU-T X.690) that a certificate request is made of. */

export interface Element {
  readonly tag: number;
  readonly content: Buffer;
  /** With tag and length. */
  readonly whole: Buffer;
}

export const tags = { integer: 0x02, bitString: 0x03, objectId: 0x06, sequence: 0x30 } as const;

/** The elements that stand one behind the other in `bytes`; undefined: it is no DER. */
export function elementsOf(bytes: Buffer): Element[] | undefined {
  const elements: Element[] = [];
  for (let start = 0; start < bytes.length; ) {
    const tag = bytes[start] ?? 0;
    let length = bytes[start + 1];
    let at = start + 2;
    // Tags of several bytes and indefinite lengths do not occur.
    if (length === undefined || (tag & 0x1f) === 0x1f || length === 0x80) return undefined;
    if (length > 0x80) {
      const count = length - 0x80;
      if (count > 4 || at + count > bytes.length) return undefined;
      length = bytes.readUIntBE(at, count);
      at += count;
    }
    const end = at + length;
    if (end > bytes.length) return undefined;
    elements.push({ tag, content: bytes.subarray(at, end), whole: bytes.subarray(start, end) });
    start = end;
  }
  return elements;
}

/** `1.2.840.113549.1.1.11`; undefined for content that is no object identifier. */
export function objectIdOf({ tag, content }: Element): string | undefined {
  if (tag !== tags.objectId || content.length === 0 || content.length > 32) return undefined;
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of content) {
    arc = arc * 128 + (byte & 0x7f);
    if (!Number.isSafeInteger(arc)) return undefined;
    if (byte & 0x80) continue;
    arcs.push(arc);
    arc = 0;
  }
  const first = arcs[0] ?? 0;
  const top = Math.min(Math.floor(first / 40), 2);
  return [top, first - top * 40, ...arcs.slice(1)].join(".");
}

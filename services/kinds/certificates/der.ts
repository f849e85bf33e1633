/** The few words of DER (ITU-T X.690) that certificates and their requests are made of. */

export interface Element {
  readonly tag: number;
  readonly content: Buffer;
  /** With tag and length. */
  readonly whole: Buffer;
}

export const tags = {
  ...{ boolean: 0x01, integer: 0x02, bitString: 0x03, octetString: 0x04, objectId: 0x06 },
  ...{ utf8String: 0x0c, utcTime: 0x17, generalizedTime: 0x18, sequence: 0x30, set: 0x31 },
} as const;

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

/** The elements within a sequence; undefined: it is none. */
export function sequenceOf(element: Element | undefined): Element[] | undefined {
  return element?.tag === tags.sequence ? elementsOf(element.content) : undefined;
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

/** One element: its tag, its length, and the contents one behind the other. */
export function encode(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const size = contents.reduce((sum, { length }) => sum + length, 0);
  if (size < 0x80) return Buffer.concat([Buffer.from([tag, size]), ...contents]);
  const bytes: number[] = [];
  for (let rest = size; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Buffer.concat([Buffer.from([tag, 0x80 + bytes.length, ...bytes]), ...contents]);
}

/** Of an identifier such as `2.5.29.17`. */
export function encodeObjectId(text: string): Buffer {
  const [top = 0, second = 0, ...others] = text.split(".").map(Number);
  const bytes = [top * 40 + second, ...others].flatMap((arc) => {
    const groups = [arc % 128];
    for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) {
      groups.unshift((rest % 128) + 0x80);
    }
    return groups;
  });
  return encode(tags.objectId, Buffer.from(bytes));
}

/** A string of whole bytes. */
export function encodeBitString(bytes: Uint8Array): Buffer {
  return encode(tags.bitString, Buffer.from([0]), bytes);
}

/** A number without sign, its bytes in order of weight. */
export function encodeUnsigned(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const short = first < 0 ? Buffer.from([0]) : bytes.subarray(first);
  const positive = (short[0] ?? 0) >= 0x80 ? [Buffer.from([0]), short] : [short];
  return encode(tags.integer, ...positive);
}

/** Finding one's way in the bytes of a JSON text without white space, of which nothing is parsed. */

export const quote = 0x22;
export const comma = 0x2c;
export const closingBracket = 0x5d;
export const openingBrace = 0x7b;
export const closingBrace = 0x7d;
const openingBracket = 0x5b;
const backslash = 0x5c;

/** The place behind the value that begins here. */
export function endOfValue(text: Buffer, from: number): number {
  if (text[from] === quote) return endOfString(text, from);
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const byte = text[at];
    if (byte === quote) at = endOfString(text, at) - 1;
    else if (byte === openingBrace || byte === openingBracket) depth += 1;
    else if (byte === closingBrace || byte === closingBracket) {
      if (depth === 0) return at;
      depth -= 1;
      if (depth === 0) return at + 1;
    } else if (byte === comma && depth === 0) return at;
  }
  return text.length;
}

/** The place behind the string that begins here. */
export function endOfString(text: Buffer, from: number): number {
  let at = from + 1;
  for (; at < text.length; at++) {
    const byte = text[at];
    if (byte === quote) return at + 1;
    if (byte === backslash) at += 1;
  }
  return at;
}

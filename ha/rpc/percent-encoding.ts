/** The encoding of `grpc-message` (grpc/grpc `doc/PROTOCOL-HTTP2.md`, Percent-Encoded). */

/** Everything but printable ASCII, and the percent sign, as the %XX of its UTF-8 bytes. */
export function percentEncode(text: string): string {
  if (/^[ -$&-~]*$/.test(text)) return text.trim() === text ? text : text.replace(/^ | $/g, "%20");
  let encoded = "";
  for (const byte of Buffer.from(text)) {
    const plain = byte > 0x20 && byte < 0x7f && byte !== 0x25;
    const inside = byte === 0x20 && encoded !== "";
    if (plain || inside) encoded += String.fromCharCode(byte);
    else encoded += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded.endsWith(" ") ? `${encoded.slice(0, -1)}%20` : encoded;
}

/** The other direction; a text that is not encoded as it should be stays as it is. */
export function percentDecode(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

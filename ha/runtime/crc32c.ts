/** CRC-32C (Castagnoli; RFC 3720, appendix B.4). */

/** Eight tables: eight bytes a step (Intel's "slicing-by-8"). */
const tables = makeTables();

function makeTables(): Uint32Array {
  const made = new Uint32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    made[byte] = crc;
  }
  for (let index = 256; index < 8 * 256; index++) {
    const previous = made[index - 256] ?? 0;
    made[index] = (previous >>> 8) ^ (made[previous & 255] ?? 0);
  }
  return made;
}

/** Of `bytes[from..to)`; `seed`: the CRC of what came before them. Unsigned 32 bits. */
export function crc32c(bytes: Uint8Array, from = 0, to = bytes.length, seed = 0): number {
  const t = tables;
  let crc = ~seed;
  let at = from;
  for (; at + 8 <= to; at += 8) {
    const low = (word(bytes, at) ^ crc) | 0;
    crc =
      (t[0x700 + (low & 255)] as number) ^
      (t[0x600 + ((low >>> 8) & 255)] as number) ^
      (t[0x500 + ((low >>> 16) & 255)] as number) ^
      (t[0x400 + (low >>> 24)] as number) ^
      (t[0x300 + (bytes[at + 4] as number)] as number) ^
      (t[0x200 + (bytes[at + 5] as number)] as number) ^
      (t[0x100 + (bytes[at + 6] as number)] as number) ^
      (t[bytes[at + 7] as number] as number);
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ (t[(crc ^ (bytes[at] as number)) & 255] as number);
  return ~crc >>> 0;
}

function word(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

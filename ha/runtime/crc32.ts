/**
 * The CRC-32 of IEEE 802.3, which zlib computes four times as fast as JavaScript can any CRC. What
 * LevelDB wrote takes CRC-32C (`crc32c.ts`).
 */
import { crc32 as ofZlib } from "node:zlib";

/** Of `bytes[from..to)`; `seed`: the CRC of what came before them. Unsigned 32 bits. */
export function crc32(bytes: Uint8Array, from = 0, to = bytes.length, seed = 0): number {
  const whole = from === 0 && to === bytes.length;
  return ofZlib(whole ? bytes : bytes.subarray(from, to), seed);
}

/**
 * What every record on a member's disk ends in: the CRC-32 of its key and its content, 4 bytes,
 * little endian. The key takes part, so that a record in another one's place is noticed too.
 */
import { crc32 } from "../runtime/crc32.ts";
import { crc32c } from "../runtime/crc32c.ts";
import type { WireWriter } from "./wire.ts";

const checksumBytes = 4;

/** The content with its checksum; a copy of its own. */
export function seal(key: Uint8Array, content: Uint8Array): Uint8Array {
  const { length } = content;
  const sealed = new Uint8Array(length + checksumBytes);
  sealed.set(content);
  const crc = crc32(content, 0, length, crc32(key));
  sealed[length] = crc;
  sealed[length + 1] = crc >>> 8;
  sealed[length + 2] = crc >>> 16;
  sealed[length + 3] = crc >>> 24;
  return sealed;
}

/** The same of the message that has just been written: a view, as `finish` gives. */
export function sealWritten(key: Uint8Array, writer: WireWriter): Uint8Array {
  writer.littleEndian32(writer.checksum(crc32(key)));
  return writer.finish();
}

/** Whether it was sealed by a version of Trireme that took CRC-32C for it. */
export function sealedByOlder(key: Uint8Array, sealed: Uint8Array): boolean {
  const length = sealed.length - checksumBytes;
  if (length < 0) return false;
  const view = new DataView(sealed.buffer, sealed.byteOffset, sealed.length);
  return view.getUint32(length, true) === crc32c(sealed, 0, length, crc32c(key));
}

/** The content, a view; undefined where it is not what was sealed under this key. */
export function unseal(key: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  const length = sealed.length - checksumBytes;
  if (length < 0) return undefined;
  const crc = crc32(sealed, 0, length, crc32(key));
  const same =
    sealed[length] === (crc & 255) &&
    sealed[length + 1] === ((crc >>> 8) & 255) &&
    sealed[length + 2] === ((crc >>> 16) & 255) &&
    sealed[length + 3] === crc >>> 24;
  return same ? sealed.subarray(0, length) : undefined;
}

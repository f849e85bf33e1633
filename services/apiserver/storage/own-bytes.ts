/** A buffer this many times as large as the value in it may be kept for it. */
const sharedBufferRatioMax = 2;

/**
 * The store's answers and events come many in one buffer, which an object that outlives the others
 * must not keep as a whole: the value, or a copy of it. Of what it answers it answers the same.
 */
export function ownBytes(value: Uint8Array): Buffer {
  const { buffer, byteOffset, byteLength } = value;
  if (buffer.byteLength <= sharedBufferRatioMax * byteLength) {
    return Buffer.isBuffer(value) ? value : Buffer.from(buffer, byteOffset, byteLength);
  }
  const own = Buffer.allocUnsafeSlow(byteLength);
  own.set(value);
  return own;
}

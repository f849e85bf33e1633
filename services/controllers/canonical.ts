/**
 * JSON with sorted keys, without what is absent or empty: two values of the same text say the same,
 * whichever of them came over the wire.
 */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) => {
    if (typeof each !== "object" || each === null || Array.isArray(each)) return each;
    const entries = Object.entries(each).filter(([, field]) => !isEmpty(field));
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

function isEmpty(value: unknown): boolean {
  if (value === undefined) return true;
  return Array.isArray(value) && value.length === 0;
}

/** Letters that make no words (kubernetes `rand.SafeEncodeString`). */
const alphabet = "bcdfghjklmnpqrstvwxz2456789";

/** Ten letters that differ when the value does; `collisions` moves on from a name that is taken. */
export function hashOf(value: unknown, collisions: number): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(`${canonical(value)}#${collisions}`)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  let text = "";
  for (let length = 0; length < 10; length++) {
    text += alphabet[Number(hash % 27n)];
    hash /= 27n;
  }
  return text;
}

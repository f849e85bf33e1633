/** How encrypted values are told from others. */

export const sealedMark = Buffer.from("k8s:enc:");

/** Whether a value is encrypted; a JSON text begins with a brace. */
export function isSealed(value: Uint8Array): boolean {
  return value[0] === sealedMark[0] && begins(value, "k8s:enc:");
}

export function begins(value: Uint8Array, prefix: string): boolean {
  if (value.length < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) if (value[i] !== prefix.charCodeAt(i)) return false;
  return true;
}

/** The identity of a cluster: a digest of its founders, the same on each of them. */

/** 1..2^52: exact as a number, so that the frames of the peer links carry it whole. */
export type ClusterId = number & { readonly __brand: "ClusterId" };

/**
 * FNV-1a over the sorted founders' peer ids, twice with different offsets. `token` tells clusters
 * with the same founders apart: after a restore it is not the same cluster any more.
 */
export function clusterIdOf(identities: readonly string[], token = ""): ClusterId {
  const text = `${[...identities].sort().join("\n")}${token && `\n\n${token}`}`;
  return ((fnv(text, 0x811c9dc5) & 0xfffff) * 2 ** 32 + fnv(text, 0x9747b28c) + 1) as ClusterId;
}

function fnv(text: string, offset: number): number {
  let hash = offset;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}

export function clusterIdText(id: ClusterId): string {
  return id.toString(16).padStart(16, "0");
}

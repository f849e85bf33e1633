/** The identity of a cluster: a digest of its founders, the same on each of them. */
import type { ClusterPeer } from "./types.ts";

export interface ClusterId {
  readonly high: number;
  readonly low: number;
}

/** FNV-1a over the sorted founders' peer ids, 2 × 32 bits with different offsets. */
export function clusterIdOf(cluster: readonly ClusterPeer[]): ClusterId {
  const text = cluster
    .map((peer) => peer.identity)
    .sort()
    .join("\n");
  return { high: fnv(text, 0x811c9dc5), low: fnv(text, 0x9747b28c) };
}

function fnv(text: string, offset: number): number {
  let hash = offset;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}

export function clusterIdText(id: ClusterId): string {
  return id.high.toString(16).padStart(8, "0") + id.low.toString(16).padStart(8, "0");
}

export function clusterIdNumber(id: ClusterId): bigint {
  return (BigInt(id.high) << 32n) | BigInt(id.low);
}

/** 52 bits of it, for the frames of the peer links. */
export function clusterIdTag(id: ClusterId): number {
  return (id.high & 0xfffff) * 2 ** 32 + id.low;
}

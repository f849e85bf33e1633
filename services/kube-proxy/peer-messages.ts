/** What the proxies of a machine send each other; one JSON text a datagram. */
import type { AffinityEntry } from "./affinity.ts";
import { proxyLimits } from "./limits.ts";

export type PeerMessage =
  | {
      readonly kind: "beat";
      readonly node: string;
      /** Where the node's NodePorts are. */
      readonly address: string;
      readonly instance: string;
      readonly pid: number;
      /** The next beat follows after this. */
      readonly beatMillis: number;
    }
  | { readonly kind: "bye"; readonly node: string; readonly instance: string }
  | { readonly kind: "affinity"; readonly entries: readonly AffinityEntry[] };

/** Undefined: no message of ours. */
export function readPeerMessage(bytes: Uint8Array): PeerMessage | undefined {
  if (bytes.length > proxyLimits.peerDatagramBytesMax) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const message = value as Record<string, unknown>;
  const { kind, entries } = message;
  if (kind === "affinity") {
    const isList = Array.isArray(entries) && entries.every(isEntry);
    return isList ? { kind, entries: entries as AffinityEntry[] } : undefined;
  }
  if (!hasTexts(message, ["node", "instance"])) return undefined;
  if (kind === "bye") return message as unknown as PeerMessage;
  if (kind !== "beat" || !hasTexts(message, ["address"])) return undefined;
  const { pid, beatMillis } = message;
  const isPid = Number.isInteger(pid) && (pid as number) > 0;
  return isPid && typeof beatMillis === "number" && beatMillis > 0
    ? (message as unknown as PeerMessage)
    : undefined;
}

/** Entries in as few datagrams as hold them. */
export function* datagramsOf(entries: Iterable<AffinityEntry>): Generator<string> {
  const text = (batch: readonly AffinityEntry[]) =>
    JSON.stringify({ kind: "affinity", entries: batch } satisfies PeerMessage);
  let batch: AffinityEntry[] = [];
  let size = 0;
  for (const entry of entries) {
    const more = JSON.stringify(entry).length + 1;
    if (size + more > proxyLimits.peerDatagramBytesMax / 2 && batch.length > 0) {
      yield text(batch);
      batch = [];
      size = 0;
    }
    batch.push(entry);
    size += more;
  }
  if (batch.length > 0) yield text(batch);
}

function isEntry(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const entry = value as Record<string, unknown>;
  return hasTexts(entry, ["key", "client", "target"]) && Number.isInteger(entry["generation"]);
}

function hasTexts(value: Record<string, unknown>, names: readonly string[]): boolean {
  return names.every((name) => typeof value[name] === "string");
}

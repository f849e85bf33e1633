/**
 * `metadata.generation` of kinds that have no status, and yet count how often what they ask for has
 * changed. For kinds with spec and status the verbs do it.
 */
import { equalJson } from "./json.ts";
import type { Document } from "./resource.ts";

export function beginGeneration(document: Document): void {
  document.metadata = { ...document.metadata, generation: 1 };
}

/** Counts a change of anything but the metadata. */
export function countGeneration(next: Document, stored: Document): void {
  const before = stored.metadata?.generation ?? 0;
  const { metadata, ...asked } = next;
  const { metadata: _, ...had } = stored;
  const generation = equalJson(asked, had) ? before : before + 1;
  next.metadata = { ...metadata, generation };
}

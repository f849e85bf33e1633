/** Owners that an object names twice: the apiserver keeps one of each, and says so. */
import type { OwnerReference } from "../../../proto/gen/meta.ts";
import { type Document, equalJson } from "../../kinds/mod.ts";
import type { Call } from "./call.ts";
import { warn } from "./warnings.ts";

/** Drops references that are the same in every field. */
export function dropRepeatedOwners(call: Call, { metadata }: Document): void {
  if (metadata?.ownerReferences === undefined) return;
  const kept = new Map<string, OwnerReference[]>();
  const repeated: string[] = [];
  metadata.ownerReferences = metadata.ownerReferences.filter((owner) => {
    const { uid = "" } = owner;
    const others = kept.get(uid) ?? [];
    if (others.some((other) => equalJson(other, owner))) {
      repeated.push(uid);
      return false;
    }
    kept.set(uid, [...others, owner]);
    return true;
  });
  if (repeated.length === 0) return;
  warn(call, [
    ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in " +
      "1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate " +
      `UID(s) observed: ${repeated.join(", ")}`,
  ]);
}

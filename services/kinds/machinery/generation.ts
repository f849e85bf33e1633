import type { Document } from "./resource.ts";

/** `desiredState` of kinds without status and spec: everything that a user writes. */
export function allButMetadata({ metadata: _, ...fields }: Document): unknown {
  return fields;
}

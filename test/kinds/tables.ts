/** Table-driven checks of a kind: what is filled in, and every word of what is wrong. */
import assert from "node:assert/strict";
import { copyJson, type Document, type Resource } from "../../services/kinds/mod.ts";
import type { Loose } from "./documents.ts";
import { registry } from "./registry.ts";

function resourceOf(document: Document): Resource {
  const kind = registry.byKind(document.apiVersion ?? "", document.kind ?? "");
  assert.ok(kind, `${document.apiVersion} ${document.kind}`);
  return kind;
}

/** A document of a kind with these fields beside its metadata. */
export function documents(apiVersion: string, kind: string, namespaced = false) {
  return (fields: Loose = {}, name = "x"): Loose => ({
    apiVersion,
    kind,
    metadata: namespaced ? { name, namespace: "default" } : { name },
    ...copyJson(fields),
  });
}

/** With its defaults, which must be idempotent, and as it is prepared for creation. */
export function created(document: Document): Loose {
  const kind = resourceOf(document);
  const copy = copyJson(document);
  kind.setDefaults(copy);
  const once = copyJson(copy);
  kind.setDefaults(copy);
  assert.deepEqual(copy, once, "defaults are idempotent");
  return copy;
}

/** `field: message` of everything wrong with a new document. */
export function faults(document: Document): string[] {
  return resourceOf(document)
    .validate(created(document))
    .map(({ field, message }) => `${field}: ${message}`);
}

/** `field: message` of what may not change so. */
export function updateFaults(stored: Document, change: (next: Loose) => void): string[] {
  const before = created(stored);
  const next: Loose = copyJson(before);
  change(next);
  return resourceOf(stored)
    .validateUpdate(next, before)
    .map(({ field, message }) => `${field}: ${message}`);
}

export function assertFaults(rows: readonly (readonly [Document, readonly string[]])[]): void {
  for (const [document, expected] of rows) {
    assert.deepEqual(faults(document), expected, JSON.stringify(document).slice(0, 400));
  }
}

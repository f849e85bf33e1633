/**
 * Objects that kubectl applied client-side before: their annotation says what was applied, so that
 * `kubectl apply --server-side` takes just those fields over without a conflict, and goes on keeping
 * the annotation for users who return to the old way.
 */
import type { FieldType } from "../field-type.ts";
import { canonicalJson, isObject } from "../json.ts";
import { limits } from "../limits.ts";
import { apiVersionOf } from "../registry.ts";
import type { Document, Resource } from "../resource.ts";
import { claimedFields, compare } from "./compare.ts";
import { difference, type FieldSet } from "./field-set.ts";
import { MisfitError } from "./path-element.ts";

const lastAppliedAnnotation = "kubectl.kubernetes.io/last-applied-configuration";

/** The fields that still are as the annotation says; undefined: it says nothing for this version. */
export function allowedByLastApplied(
  resource: Resource,
  type: FieldType,
  live: Document,
): FieldSet | undefined {
  const text = live.metadata?.annotations?.[lastAppliedAnnotation];
  if (!text) return undefined;
  try {
    const last: unknown = JSON.parse(text);
    if (!isObject(last) || last["apiVersion"] !== apiVersionOf(resource)) return undefined;
    const { added, modified, removed } = compare(type, last, live);
    let fields = claimedFields(type, last);
    for (const changed of [added, modified, removed]) fields = difference(fields, changed);
    return fields;
  } catch (thrown) {
    // An annotation that was written by hand allows nothing.
    if (thrown instanceof SyntaxError || thrown instanceof MisfitError) return undefined;
    throw thrown;
  }
}

/** The document with the annotation, where it has one, brought up to date. */
export function withLastApplied(document: Document, applied: Document): Document {
  const present = document.metadata?.annotations;
  if (!present?.[lastAppliedAnnotation]) return document;
  const text = `${canonicalJson(withoutAnnotation(applied))}\n`;
  const { [lastAppliedAnnotation]: _old, ...annotations } = present;
  const size = Object.entries({ ...annotations, [lastAppliedAnnotation]: text }).reduce(
    (sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value),
    0,
  );
  if (size <= limits.annotationBytes) annotations[lastAppliedAnnotation] = text;
  return { ...document, metadata: { ...document.metadata, annotations } };
}

function withoutAnnotation(applied: Document): Document {
  const { annotations } = applied.metadata ?? {};
  if (!annotations) return applied;
  const { [lastAppliedAnnotation]: _, ...rest } = annotations;
  return { ...applied, metadata: { ...applied.metadata, annotations: rest } };
}

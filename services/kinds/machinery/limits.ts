/** Sizes beyond which a document is refused before it costs anything. */
export const limits = {
  /** Bytes of one object as JSON text (upstream: 1.5 MB, etcd's default request limit). */
  objectBytes: 1_572_864,
  /** Nested objects and lists in one document. */
  depth: 64,
  /** Values of any kind in one document. */
  nodes: 200_000,
  /** Errors reported at most for one document; the rest follow once these are mended. */
  errors: 100,
  /** Warnings given at most about the fields of one document. */
  warnings: 32,
  /** Bytes of all annotations of an object together, keys and values (upstream). */
  annotationBytes: 262_144,
  /** Bytes of all values of a ConfigMap or Secret together (upstream). */
  dataBytes: 1_048_576,
  /** Characters of a label or field selector. */
  selectorLength: 65_536,
  /** Requirements in one selector, and values in one requirement. */
  selectorRequirements: 1_000,
  selectorValues: 10_000,
  /** Operations of one JSON patch (upstream). */
  jsonPatchOperations: 10_000,
} as const;

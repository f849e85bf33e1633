/**
 * How server-side apply sees the value of a field: what may have an owner of its own. Both origins
 * of a resource give it: messages from their field options, custom resources from their OpenAPI
 * schema's `x-kubernetes-*` markers (upstream: structured-merge-diff, "typed").
 */
export type FieldType =
  /** Owned as a whole: a text, a number, a truth value, or a list or object that is atomic. */
  | { readonly kind: "leaf" }
  /** An object with known fields, each owned by itself. Fields it does not know are untyped. */
  | { readonly kind: "struct"; field(name: string): FieldType | undefined }
  /** An object whose keys are data, e.g. labels; each entry is owned by itself. */
  | { readonly kind: "map"; readonly element: FieldType }
  /** A list of scalars, each owned by itself. */
  | { readonly kind: "set" }
  /** A list of objects that are told apart by some of their fields; `defaults` for absent ones. */
  | {
      readonly kind: "list-map";
      readonly keys: readonly string[];
      readonly defaults: Readonly<Record<string, unknown>>;
      readonly element: FieldType;
    }
  /** Nothing is known: objects are merged by their keys, lists are owned as a whole. */
  | { readonly kind: "untyped" };

import type { Verb } from "../gen/schema.ts";

/** A kind as the generator knows it; schema.ts tells programs most of it (`ResourceSchema`). */
export interface Resource {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly namespaced: boolean;
  readonly hasStatus: boolean;
  readonly scale: boolean;
  readonly verbs: readonly Verb[];
  readonly message: string;
  readonly service: string;
  readonly list: string | undefined;
  readonly write: string | undefined;
  readonly event: string | undefined;
  readonly name: string;
  readonly property: string;
  readonly file: string;
  readonly methods: readonly string[];
  readonly extras: readonly { readonly name: string; readonly rpc: string }[];
}

export function resourcesOf(descriptors: {
  readonly types: Iterable<unknown> & { get(name: string): unknown };
  // A parameter of type `never` fits whatever describes a type.
  readonly option: (type: never, name: string) => unknown;
}): Resource[];

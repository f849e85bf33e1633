import type { Document } from "../../kinds/mod.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";

/**
 * How a resource that is not stored (`Resource.stored` false) is computed, for each request anew. The
 * verbs call it after authorization and after the resource's own defaults and validation; it throws
 * the StatusError that refuses the request.
 *
 * ```ts
 * export const echo: VirtualKind = {
 *   create: (_backend, call, document) => ({ ...document, status: { user: call.user.name } }),
 * };
 * ```
 */
export interface VirtualKind {
  /** The answer to an object that was sent; nothing is kept. `namespace` "": cluster-scoped. */
  create?(
    backend: Backend,
    call: Call,
    document: Document,
    namespace: string,
    dryRun: boolean,
  ): Document | Promise<Document>;
  /** Undefined: there is none of that name. */
  get?(
    backend: Backend,
    call: Call,
    name: string,
    namespace: string,
  ): Document | undefined | Promise<Document | undefined>;
  /** Every object, of one namespace unless it is ""; selectors are applied to the answer. */
  list?(
    backend: Backend,
    call: Call,
    namespace: string,
  ): readonly Document[] | Promise<readonly Document[]>;
}

/** By plural, with the group as a suffix where there is one: `tokenreviews.authentication.k8s.io`. */
export type VirtualKinds = Readonly<Record<string, VirtualKind>>;

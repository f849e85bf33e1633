/**
 * The subresources that the REST API serves: one row for each, found by the resource's plural and
 * group. What every resource with a status or a scale has comes from the resource itself.
 */
import type { WriteOptions } from "../../../../proto/gen/meta.ts";
import type { Column, Resource } from "../../../kinds/mod.ts";
import type { NodeServing } from "../../nodes/types.ts";
import type { StoredObject } from "../../storage/stored-object.ts";
import type { Body } from "../../verbs/body.ts";
import type { Call } from "../../verbs/call.ts";
import { podRows } from "./pods.ts";
import { nodeProxyRow, serviceProxyRow } from "./proxy.ts";
import { scaleRow } from "./scale.ts";
import { tokenRow } from "./service-accounts.ts";
import { finalizeRow, statusRow } from "./status.ts";

/** A request for a subresource, apart from the wire. */
export interface SubresourceRequest {
  readonly resource: Resource;
  readonly subresource: string;
  readonly verb: string;
  readonly namespace: string;
  readonly name: string;
  /** The path behind the subresource, without a leading slash. */
  readonly rest: string;
  readonly query: URLSearchParams;
  /** Of a write. */
  readonly options: WriteOptions;
  /** The media type of the body. */
  readonly contentType: string;
  /** The request's body, for the verbs; held to the resource's own schema. */
  readonly body: Body;
  /** The request's body as it is, JSON or YAML; undefined when empty. Throws BadRequest. */
  content(): unknown;
  /** Every value of a header, which is named in lower case. */
  headers(name: string): readonly string[];
}

/**
 * A stored object, a document (`status`: its HTTP code), or a whole response of its own. A body that
 * is a stream is begun when the call's `streamBegun` is called, or else with its first piece; what
 * it throws before that is answered as an error.
 */
type SubresourceAnswer =
  | { readonly object: StoredObject; readonly status?: number }
  | {
      readonly document: object;
      readonly status?: number;
      /** As which a table shows it; absent: it has no table. */
      readonly columns?: readonly Column[];
    }
  | {
      readonly status: number;
      readonly headers: readonly (readonly [string, string])[];
      readonly body: Uint8Array | AsyncIterable<Uint8Array>;
    };

/** Authorizes by itself, as every verb does; throws StatusError. */
export type SubresourceHandler = (
  serving: NodeServing,
  call: Call,
  request: SubresourceRequest,
) => Promise<SubresourceAnswer>;

type SubresourceVerb = "get" | "create" | "update" | "patch" | "delete";

export interface SubresourceRow {
  /** `status`, `binding`, … */
  readonly name: string;
  /** What it takes and gives; absent: the resource's own kind. */
  readonly kind?: { readonly group: string; readonly version: string; readonly kind: string };
  readonly verbs: Readonly<Partial<Record<SubresourceVerb, SubresourceHandler>>>;
}

/** By `<plural>` or `<plural>.<group>`. */
const rows: Readonly<Record<string, readonly SubresourceRow[]>> = {
  namespaces: [finalizeRow],
  nodes: [nodeProxyRow],
  pods: podRows,
  serviceaccounts: [tokenRow],
  services: [serviceProxyRow],
};

/** Those of a resource, in the order of their names. */
export function subresourcesOf(resource: Resource): readonly SubresourceRow[] {
  const { plural, group, subresources } = resource;
  const key = group === "" ? plural : `${plural}.${group}`;
  const own = Object.hasOwn(rows, key) ? (rows[key] ?? []) : [];
  return [
    ...own,
    ...(subresources.scale === undefined ? [] : [scaleRow]),
    ...(subresources.status ? [statusRow] : []),
    ...(resource.statusSubresources ?? []).map((name) => ({ ...statusRow, name })),
  ].toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

export function subresourceOf(resource: Resource, name: string): SubresourceRow | undefined {
  return subresourcesOf(resource).find((row) => row.name === name);
}

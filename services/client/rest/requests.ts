/** The typed methods as requests of Kubernetes' REST API. */
import type {
  DeleteCollectionRequest,
  DeleteRequest,
  ListRequest,
  PatchRequest,
  WatchRequest,
  WriteOptions,
} from "../../../proto/gen/meta.ts";
import { kindCode } from "../../../proto/gen/resources.ts";
import type { ApiObject } from "../types.ts";

/** A resource as paths name it. */
export interface RestResource {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export interface RestRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly contentType?: string;
  /** JSON text; absent: none. */
  readonly body?: Buffer;
}

type Query = Record<string, string | number | boolean | readonly string[] | undefined>;

interface Target {
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly subresource?: string | undefined;
}

function pathOf(resource: RestResource, target: Target, query: Query = {}): string {
  const { group, version, plural, namespaced } = resource;
  const { namespace, name, subresource } = target;
  const parts = group === "" ? ["api", version] : ["apis", group, version];
  if (namespaced && namespace) parts.push("namespaces", namespace);
  parts.push(plural);
  if (name) parts.push(name);
  if (subresource) parts.push(subresource);
  const fields = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined || value === "") continue;
    for (const each of Array.isArray(value) ? value : [value]) fields.append(key, String(each));
  }
  const text = fields.size === 0 ? "" : `?${fields.toString()}`;
  return `/${parts.map(encodeURIComponent).join("/")}${text}`;
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function writeQuery({ dryRun, fieldManager, fieldValidation }: WriteOptions = {}): Query {
  return { dryRun, fieldManager, fieldValidation };
}

export interface ObjectWrite {
  readonly object?: ApiObject | undefined;
  readonly namespace?: string | undefined;
  readonly options?: WriteOptions | undefined;
}

/** What each verb sends; `target` names what a request does not say itself. */
export const requests = {
  get: (
    resource: RestResource,
    { name, namespace }: Target,
    subresource?: string,
  ): RestRequest => ({
    method: "GET",
    path: pathOf(resource, { name, namespace, subresource }),
  }),
  list: (resource: RestResource, { namespace, ...query }: ListRequest): RestRequest => ({
    method: "GET",
    path: pathOf(resource, { namespace }, query),
  }),
  watch(resource: RestResource, { namespace, ...query }: WatchRequest): RestRequest {
    // The start of a watch with initial events must say how new they have to be.
    const match = query.sendInitialEvents === true ? "NotOlderThan" : undefined;
    const fields = { ...query, resourceVersionMatch: match, watch: true };
    return { method: "GET", path: pathOf(resource, { namespace }, fields) };
  },
  create: (
    resource: RestResource,
    { object, namespace = object?.metadata?.namespace, options }: ObjectWrite,
    target: Target = {},
  ): RestRequest => ({
    method: "POST",
    path: pathOf(resource, { namespace, ...target }, writeQuery(options)),
    contentType: "application/json",
    body: json(object),
  }),
  update(
    resource: RestResource,
    { object, options }: ObjectWrite,
    subresource?: string,
  ): RestRequest {
    const { name, namespace } = object?.metadata ?? {};
    const target = { name, namespace, subresource };
    return {
      method: "PUT",
      path: pathOf(resource, target, writeQuery(options)),
      contentType: "application/json",
      body: json(object),
    };
  },
  patch: (resource: RestResource, request: PatchRequest): RestRequest => ({
    method: "PATCH",
    path: pathOf(resource, request, writeQuery(request.options)),
    contentType: request.patchType ?? "application/merge-patch+json",
    body: Buffer.from(request.patch ?? []),
  }),
  delete(resource: RestResource, { name, namespace, ...options }: DeleteRequest): RestRequest {
    return {
      method: "DELETE",
      path: pathOf(resource, { name, namespace }),
      contentType: "application/json",
      body: json({ apiVersion: "v1", kind: "DeleteOptions", ...options }),
    };
  },
  deleteCollection(
    resource: RestResource,
    { selection = {}, ...options }: DeleteCollectionRequest,
  ): RestRequest {
    const { namespace, ...query } = selection;
    return {
      method: "DELETE",
      path: pathOf(resource, { namespace }, query),
      contentType: "application/json",
      body: json({ apiVersion: "v1", kind: "DeleteOptions", ...options }),
    };
  },
} as const;

/** The kinds of the contracts by the path of their service, e.g. `/trireme.core.v1.Pods/`. */
export const resourceByService: ReadonlyMap<string, RestResource> = new Map(
  Object.values(kindCode).map(({ schema }): [string, RestResource] => [
    `/${schema.service}/`,
    schema,
  ]),
);

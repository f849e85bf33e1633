import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Revision } from "../../../ha/store/types.ts";
import type { ListMeta, ListRequest } from "../../../proto/gen/meta.ts";
import type { Resource } from "../../kinds/mod.ts";
import { badRequest, expired } from "../errors.ts";
import { limits } from "../limits.ts";
import { decodeContinue, encodeContinue } from "../storage/continue.ts";
import { checkKeyPart, keyBytes, prefixEnd } from "../storage/keys.ts";
import { createSelection, type Selection } from "../storage/selection.ts";
import { StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { parseResourceVersion, waitForCache } from "./fetch.ts";
import { run } from "./pipeline.ts";

export interface ListPage {
  readonly metadata: ListMeta;
  readonly items: readonly StoredObject[];
}

/**
 * One page of a list. All pages show the state of one revision, that of the first page; when history
 * has been compacted past it, the next page is refused with Expired.
 */
export async function list(
  backend: Backend,
  call: Call,
  resource: Resource,
  request: ListRequest,
): Promise<ListPage> {
  const namespace = resource.namespaced ? checkKeyPart("namespace", request.namespace ?? "") : "";
  const { fieldSelector } = request;
  return run(backend, call, { verb: "list", resource, namespace, fieldSelector }, [], async () => {
    const selection = createSelection(resource, { ...request, namespace });
    const limit = limitOf(request);
    if (request.continue !== undefined && request.continue !== "") {
      if (request.resourceVersion !== undefined && request.resourceVersion !== "") {
        throw badRequest("specifying resource version is not allowed when using continue");
      }
      const { revision, after } = decodeContinue(request.continue);
      return pageAt(backend, resource, selection, revision, `${selection.prefix}${after}\0`, limit);
    }
    const version = parseResourceVersion(request.resourceVersion, "resourceVersion");
    const match = matchOf(request, version);
    if (match === "Exact" && version !== undefined) {
      return pageAt(backend, resource, selection, version, selection.prefix, limit);
    }
    await waitForCache(backend, resource, version);
    return pageOfCache(
      backend,
      resource,
      selection,
      backend.cache.revision,
      selection.prefix,
      limit,
    );
  });
}

function limitOf(request: ListRequest): number {
  const limit = request.limit ?? 0;
  if (limit < 0) throw badRequest(`limit is ${limit}, must not be negative`);
  return limit === 0 ? Number.POSITIVE_INFINITY : Math.min(limit, limits.listPageMax);
}

function matchOf(request: ListRequest, version: number | undefined): string {
  const match = request.resourceVersionMatch ?? "";
  if (match === "") return match;
  if (match !== "Exact" && match !== "NotOlderThan") {
    throw badRequest(
      `resourceVersionMatch is "${match}", supported values are "Exact" and "NotOlderThan"`,
    );
  }
  if (version === undefined) {
    throw badRequest("resourceVersionMatch is forbidden unless resourceVersion is provided");
  }
  if (match === "Exact" && version === 0) {
    throw badRequest('resourceVersionMatch "Exact" is forbidden for resourceVersion "0"');
  }
  return match;
}

async function pageAt(
  backend: Backend,
  resource: Resource,
  selection: Selection,
  revision: number,
  start: string,
  limit: number,
): Promise<ListPage> {
  await backend.cache.waitFor(revision);
  if (backend.cache.of(resource).lastChange <= revision) {
    // Nothing of this kind has changed since, so the cache still shows that revision.
    return pageOfCache(backend, resource, selection, revision, start, limit);
  }
  return pageOfHistory(backend, resource, selection, revision, start, limit);
}

function pageOfCache(
  backend: Backend,
  resource: Resource,
  selection: Selection,
  revision: number,
  start: string,
  limit: number,
): ListPage {
  const items: StoredObject[] = [];
  let more = false;
  for (const object of backend.cache.of(resource).select(selection, start)) {
    if (items.length === limit) {
      more = true;
      break;
    }
    items.push(object);
  }
  return page(selection, revision, items, more);
}

async function pageOfHistory(
  backend: Backend,
  resource: Resource,
  selection: Selection,
  revision: number,
  start: string,
  limit: number,
): Promise<ListPage> {
  const items: StoredObject[] = [];
  let key = keyBytes(start);
  for (;;) {
    const read = await readHistory(backend, selection, revision, key);
    for (const kv of read.kvs) {
      const text = Buffer.from(kv.key).toString("utf8");
      const object = new StoredObject(resource, text, kv.value, kv.modRevision);
      if (selection.filtered && !selection.matches(object)) continue;
      if (items.length === limit) return page(selection, revision, items, true);
      items.push(object);
    }
    const last = read.kvs.at(-1);
    if (!read.more || last === undefined) return page(selection, revision, items, false);
    key = Buffer.concat([last.key, Buffer.from([0])]);
  }
}

async function readHistory(
  backend: Backend,
  selection: Selection,
  revision: number,
  key: Uint8Array,
) {
  try {
    return await backend.store.range(
      {
        key,
        rangeEnd: prefixEnd(selection.prefix),
        revision: revision as Revision,
        limit: limits.storePage,
      },
      { serializable: true },
    );
  } catch (thrown) {
    const error = StatusError.from(thrown);
    if (error.code !== Code.outOfRange) throw error;
    throw expired(
      "The provided continue parameter is too old to display a consistent list result. You can " +
        "start a new list without the continue parameter.",
    );
  }
}

function page(
  selection: Selection,
  revision: number,
  items: readonly StoredObject[],
  more: boolean,
): ListPage {
  const last = items.at(-1);
  const next =
    more && last !== undefined
      ? { continue: encodeContinue({ revision, after: last.key.slice(selection.prefix.length) }) }
      : {};
  return { metadata: { resourceVersion: String(revision), ...next }, items };
}

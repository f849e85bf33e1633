import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Revision } from "../../../ha/store/types.ts";
import type { ListMeta, ListRequest } from "../../../proto/gen/meta.ts";
import type { Resource } from "../../kinds/mod.ts";
import { badRequest, expired } from "../errors.ts";
import { limits } from "../limits.ts";
import { decodeContinue, encodeContinue, latest } from "../storage/continue.ts";
import { ready, storedAt } from "../storage/fetch.ts";
import { checkKeyPart, keyBytes, listPrefix, prefixEnd } from "../storage/keys.ts";
import type { KindCache } from "../storage/kind-cache.ts";
import { createSelection, type Selection } from "../storage/selection.ts";
import { convertAll, type StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { checkListOptions } from "./options.ts";
import { run } from "./pipeline.ts";
import { parseResourceVersion, waitForCache } from "./resource-version.ts";
import { bringIndexUp, type SearchRequest, search } from "./search.ts";
import { computeList } from "./virtual.ts";

export interface ListPage {
  readonly metadata: ListMeta;
  readonly items: readonly StoredObject[];
  /**
   * Gives the seats back: to be called when the answer has been sent, or is not sent any more, or
   * its client reads nothing for a while. The first call counts.
   */
  release(): void;
}

type Found = Omit<ListPage, "release">;

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
  let leave = none;
  const target = {
    ...{ verb: "list", resource, namespace, fieldSelector },
    seats: () => seatsOf(backend, resource, namespace, request),
    keep: (given: () => void) => {
      leave = given;
    },
  };
  const found = await run(backend, call, target, [], async (): Promise<Found> => {
    checkListOptions(request);
    const selection = createSelection(resource, { ...request, namespace });
    const limit = limitOf(request);
    const { signal } = call;
    if (!resource.stored) return computeList(backend, call, resource, selection, namespace);
    if (request.continue !== undefined && request.continue !== "") {
      if (request.resourceVersion !== undefined && request.resourceVersion !== "") {
        throw badRequest("specifying resource version is not allowed when using continue");
      }
      const token = decodeContinue(request.continue);
      const start = `${selection.prefix}${token.after}\0`;
      if (token.revision === latest) {
        return await pageOfNow(backend, resource, selection, { start, limit, signal });
      }
      const goOn = encodeContinue({ revision: latest, after: token.after });
      const tooOld = expired(tooOldToken, goOn);
      const { revision } = token;
      const about = { revision, start, limit, signal, tooOld };
      return await pageAt(backend, resource, selection, about);
    }
    const version = parseResourceVersion(request.resourceVersion, "resourceVersion");
    const start = selection.prefix;
    if (version !== undefined && isExact(request, version)) {
      const tooOld = expired("The resourceVersion for the provided list is too old.");
      return await pageAt(backend, resource, selection, {
        revision: version,
        start,
        limit,
        signal,
        tooOld,
      });
    }
    return await pageOfNow(backend, resource, selection, { start, limit, signal, version });
  });
  return { ...found, release: heldUntil(backend, found, leave) };
}

const none = () => {};

/**
 * The seats of a long list are its own while it is sent, so that lists wait for each other and not
 * all for all; but a client that reads slowly costs too little to hold them for ever.
 */
function heldUntil({ clock }: Pick<Backend, "clock">, { items }: Found, leave: () => void) {
  if (leave === none || items.length <= limits.listObjectsOfSeat) {
    leave();
    return none;
  }
  const cancel = clock.after(limits.listSeatMillis, leave);
  return () => {
    cancel();
    leave();
  };
}

/** As upstream estimates the work of a list (apiserver `flowcontrol/request/list_work_estimator`). */
function seatsOf(
  backend: Backend,
  resource: Resource,
  namespace: string,
  { limit = 0, labelSelector = "", fieldSelector = "" }: ListRequest,
): number {
  if (!resource.stored || /(^|,)metadata\.name==?[^,=]/.test(fieldSelector)) return 1;
  const prefix = listPrefix(resource, namespace);
  const stored = backend.cache.of(resource).view().countFrom(prefix, prefix);
  const isShort = limit > 0 && labelSelector === "" && fieldSelector === "";
  const objects = isShort ? Math.min(limit, stored) : stored;
  return Math.min(Math.ceil(objects / limits.listObjectsOfSeat), limits.listSeatsMax);
}

/** As upstream: a page of a list at a revision is exact unless the request says otherwise. */
function isExact({ resourceVersionMatch = "", limit = 0 }: ListRequest, version: number): boolean {
  if (resourceVersionMatch === "Exact") return true;
  return resourceVersionMatch === "" && limit > 0 && version > 0;
}

/** What the cache shows, once it is as new as `version` demands. */
async function pageOfNow(
  backend: Backend,
  resource: Resource,
  selection: Selection,
  {
    version,
    ...request
  }: Omit<PageRequest, "revision"> & { readonly version?: number | undefined },
): Promise<Found> {
  await waitForCache(backend, resource, version);
  await bringIndexUp(backend.cache.of(resource), selection, request.signal);
  const { revision } = backend.cache;
  return await pageOfCache(backend, resource, selection, { ...request, revision });
}

/** What of a list one page shows. */
interface PageRequest extends SearchRequest {
  readonly revision: number;
}

const tooOldToken =
  "The provided continue parameter is too old to display a consistent list result. You can " +
  "start a new list without the continue parameter, or use the continue token in this response to " +
  "retrieve the remainder of the results. Continuing with the provided token results in an " +
  "inconsistent list - objects that were created, modified, or deleted between the time the first " +
  "chunk was returned and now may show up in the list.";

function limitOf(request: ListRequest): number {
  const limit = request.limit ?? 0;
  // Upstream too takes a negative limit for none.
  return limit <= 0 ? Number.POSITIVE_INFINITY : Math.min(limit, limits.listPageMax);
}

/** `tooOld`: the refusal when the revision has been compacted. */
async function pageAt(
  backend: Backend,
  resource: Resource,
  selection: Selection,
  request: PageRequest & { readonly tooOld: StatusError },
): Promise<Found> {
  await waitForCache(backend, resource, request.revision);
  await bringIndexUp(backend.cache.of(resource), selection, request.signal);
  if (backend.cache.of(resource).lastChange <= request.revision) {
    // Nothing of this kind has changed since, so the cache still shows that revision.
    return pageOfCache(backend, resource, selection, request);
  }
  try {
    return await pageOfHistory(backend, resource, selection, request);
  } catch (thrown) {
    const error = StatusError.from(thrown);
    throw error.code === Code.outOfRange ? request.tooOld : error;
  }
}

async function pageOfCache(
  backend: Backend,
  resource: Resource,
  selection: Selection,
  request: PageRequest,
): Promise<Found> {
  const cache = backend.cache.of(resource);
  if (resource.storedAs?.remote !== undefined && selection.readsFields) {
    await convertAll([...cache.select({ ...selection, filtered: false })]);
  }
  const found = await select(cache, selection, request);
  await convertAll(found.items);
  return found;
}

/** Shows the moment of the call, however long it takes to look through the objects. */
async function select(
  cache: KindCache,
  selection: Selection,
  { revision, ...request }: PageRequest,
): Promise<Found> {
  const { prefix, filtered } = selection;
  const { items, beyond, view } = await search(cache, selection, request);
  if (beyond === undefined) return page(selection, revision, items, undefined);
  // As upstream, which does not count what it would have to filter.
  const remaining = filtered ? undefined : view.countFrom(beyond.key, prefix);
  return page(selection, revision, items, { remaining });
}

async function pageOfHistory(
  backend: Backend,
  resource: Resource,
  selection: Selection,
  { revision, start, limit }: PageRequest,
): Promise<Found> {
  const items: StoredObject[] = [];
  const rangeEnd = prefixEnd(selection.prefix);
  let key = keyBytes(start);
  for (;;) {
    const read = await backend.store.range(
      { key, rangeEnd, revision: revision as Revision, limit: limits.storePage },
      { serializable: true },
    );
    for (const [index, kv] of read.kvs.entries()) {
      const text = Buffer.from(kv.key).toString("utf8");
      const object = await ready(storedAt(resource, text, kv.value, kv.modRevision));
      if (selection.filtered && !selection.matches(object)) continue;
      if (items.length < limit) {
        items.push(object);
        continue;
      }
      const remaining = selection.filtered ? undefined : read.count - index;
      return page(selection, revision, items, { remaining });
    }
    const last = read.kvs.at(-1);
    if (!read.more || last === undefined) return page(selection, revision, items, undefined);
    key = Buffer.concat([last.key, Buffer.from([0])]);
  }
}

/** `more`: there is a next page, and how many items are still to come, if that is known. */
function page(
  selection: Selection,
  revision: number,
  items: readonly StoredObject[],
  more: { readonly remaining: number | undefined } | undefined,
): Found {
  const last = items.at(-1);
  const resourceVersion = String(revision);
  if (more === undefined || last === undefined) return { metadata: { resourceVersion }, items };
  const after = last.key.slice(selection.prefix.length);
  const { remaining } = more;
  const metadata = {
    resourceVersion,
    continue: encodeContinue({ revision, after }),
    ...(remaining !== undefined && { remainingItemCount: remaining }),
  };
  return { metadata, items };
}

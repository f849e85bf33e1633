import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Revision } from "../../../ha/store/types.ts";
import type { WatchRequest } from "../../../proto/gen/meta.ts";
import type { Resource } from "../../kinds/mod.ts";
import { badRequest, expired, tooManyRequests } from "../errors.ts";
import { limits } from "../limits.ts";
import { checkKeyPart, keyBytes, prefixEnd } from "../storage/keys.ts";
import type { KindCache } from "../storage/kind-cache.ts";
import { createSelection, type Selection } from "../storage/selection.ts";
import { convertAll } from "../storage/stored-object.ts";
import { bookmark, EventType, WatchItem } from "../storage/watch-item.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { allow, markSafe } from "./pipeline.ts";
import { parseResourceVersion, waitForCache } from "./resource-version.ts";

/**
 * What happens to the selected objects: from a revision on, or after everything that exists. Ends
 * when the caller leaves, the time is up, the stream was read too slowly, or the master stops; the
 * client then resumes from the last resourceVersion it saw. Throws Expired when that is too old.
 */
export async function* watch(
  backend: Backend,
  call: Call,
  resource: Resource,
  request: WatchRequest,
): AsyncGenerator<WatchItem, void> {
  const namespace = resource.namespaced ? checkKeyPart("namespace", request.namespace ?? "") : "";
  const { fieldSelector } = request;
  allow(backend, call, { verb: "watch", resource, namespace, fieldSelector });
  if (backend.cache.watchers >= limits.watchers) {
    throw tooManyRequests(
      `Too many watches: ${limits.watchers} are under way`,
      limits.retryAfterSeconds,
    );
  }
  const selection = createSelection(resource, { ...request, namespace });
  if (resource.storedAs?.remote !== undefined && selection.readsFields) {
    throw badRequest(
      `fieldSelector: a watch of ${resource.plural} can only select by metadata.name and ` +
        "metadata.namespace, because a webhook converts them",
    );
  }
  const deadline = new AbortController();
  const cancel = backend.clock.after(1000 * secondsOf(request), () => deadline.abort());
  const signals = call.signal === undefined ? [] : [call.signal];
  const signal = AbortSignal.any([deadline.signal, ...signals]);
  try {
    for await (const item of follow(backend, call, { resource, selection, request, signal })) {
      if (!item.object.ready) await convertAll([item.object]);
      yield item;
    }
  } catch (thrown) {
    markSafe(call, thrown);
    throw thrown;
  } finally {
    cancel();
  }
}

function secondsOf(request: WatchRequest): number {
  const seconds = request.timeoutSeconds ?? 0;
  if (seconds < 0) throw badRequest(`timeoutSeconds is ${seconds}, must not be negative`);
  return seconds === 0 ? limits.watchSeconds : Math.min(seconds, limits.watchSeconds);
}

interface Subject {
  readonly resource: Resource;
  readonly selection: Selection;
  readonly request: WatchRequest;
  readonly signal: AbortSignal;
}

/** Tells the caller that the stream has begun as soon as the watch is registered. */
async function* follow(
  backend: Backend,
  call: Call,
  { resource, selection, request, signal }: Subject,
): AsyncGenerator<WatchItem, void> {
  const bookmarks = request.allowWatchBookmarks ?? false;
  if (request.sendInitialEvents === true && !bookmarks) {
    throw badRequest("sendInitialEvents is forbidden unless allowWatchBookmarks is set");
  }
  const version = parseResourceVersion(request.resourceVersion, "resourceVersion");
  const initial = request.sendInitialEvents ?? (version === undefined || version === 0);
  await waitForCache(backend, resource, version);
  const cache = backend.cache.of(resource);
  if (initial || version === undefined || version === 0) {
    yield* fromNow(backend, call, cache, { selection, initial, bookmarks, signal, request });
    return;
  }
  let position = version;
  while (position < cache.windowStart && !signal.aborted) {
    for await (const step of history(backend, cache, selection, position, signal)) {
      position = step.revision;
      call.streamBegun();
      yield* step.items;
    }
  }
  if (!signal.aborted) yield* live(call, cache, position, { selection, bookmarks, signal });
}

interface Live {
  readonly selection: Selection;
  readonly bookmarks: boolean;
  readonly signal: AbortSignal;
}

interface Start extends Live {
  readonly initial: boolean;
  readonly request: WatchRequest;
}

/** The state of the cache, then what follows it. */
async function* fromNow(
  backend: Backend,
  call: Call,
  cache: KindCache,
  start: Start,
): AsyncGenerator<WatchItem, void> {
  const { revision } = backend.cache;
  const { selection } = start;
  const existing = start.initial ? [...cache.select(selection)] : [];
  const { watcher } = cache.watchAfter(
    Math.max(revision, cache.windowStart),
    selection,
    start.bookmarks,
  );
  const stop = () => watcher.end();
  start.signal.addEventListener("abort", stop, { once: true });
  try {
    call.streamBegun();
    for (const object of existing) {
      if (start.signal.aborted) return;
      yield new WatchItem(EventType.added, object);
    }
    if (start.request.sendInitialEvents === true)
      yield bookmark(selection.resource, revision, true);
    yield* watcher;
  } finally {
    start.signal.removeEventListener("abort", stop);
    watcher.end();
  }
}

async function* live(
  call: Call,
  cache: KindCache,
  position: number,
  { selection, bookmarks, signal }: Live,
): AsyncGenerator<WatchItem, void> {
  const { recent, watcher } = cache.watchAfter(position, selection, bookmarks);
  const stop = () => watcher.end();
  signal.addEventListener("abort", stop, { once: true });
  try {
    call.streamBegun();
    for (const item of recent) {
      if (signal.aborted) return;
      yield item;
    }
    yield* watcher;
  } finally {
    signal.removeEventListener("abort", stop);
    watcher.end();
  }
}

/** Events after `position` from the store's history, until the cache's window is reached. */
async function* history(
  backend: Backend,
  cache: KindCache,
  selection: Selection,
  position: number,
  signal: AbortSignal,
): AsyncGenerator<{ readonly revision: number; readonly items: readonly WatchItem[] }, void> {
  const stream = backend.store.watch({
    key: keyBytes(selection.prefix),
    rangeEnd: prefixEnd(selection.prefix),
    startRevision: (position + 1) as Revision,
    previous: true,
    progress: true,
  });
  stream.created.catch(() => {
    // The iteration below fails with the same error.
  });
  const stop = () => stream.close();
  signal.addEventListener("abort", stop, { once: true });
  try {
    for await (const batch of stream) {
      const items: WatchItem[] = [];
      for (const event of backend.cache.eventsOf(cache, batch)) {
        const item = event.itemFor(selection);
        if (item !== undefined) items.push(item);
      }
      yield { revision: batch.revision, items };
      if (batch.revision >= cache.windowStart) return;
    }
  } catch (thrown) {
    const error = StatusError.from(thrown);
    if (error.code !== Code.outOfRange) throw error;
    throw expired(`too old resource version: ${position} (${cache.windowStart})`);
  } finally {
    signal.removeEventListener("abort", stop);
    stream.close();
  }
}

import { httpCodeOf, pieceTurns, type ReadyIterator } from "../../../ha/rpc/mod.ts";
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
import type { Watcher } from "../storage/watcher.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { allow, markSafe } from "./pipeline.ts";
import type { RequestMeter } from "./request-metrics.ts";
import { endSpan } from "./request-span.ts";
import { parseResourceVersion, waitForCache } from "./resource-version.ts";

/**
 * What happens to the selected objects: from a revision on, or after everything that exists. Ends
 * when the caller leaves, the time is up, the stream was read too slowly, or the master stops; the
 * client then resumes from the last resourceVersion it saw. Throws Expired when that is too old.
 */
export function watch(
  backend: Backend,
  call: Call,
  resource: Resource,
  request: WatchRequest,
): ReadyIterator<WatchItem> {
  return new WatchStream(backend, call, resource, request);
}

const done = { done: true, value: undefined } as const;

class WatchStream implements ReadyIterator<WatchItem> {
  readonly #call: Call;
  readonly #meter: RequestMeter;
  readonly #deadline = new AbortController();
  /** What there is to tell before the watcher; answers with that. */
  readonly #beginning: AsyncGenerator<WatchItem, Watcher | undefined>;
  #watcher: Watcher | undefined;
  #over = false;
  #cancel = () => {};

  constructor(backend: Backend, call: Call, resource: Resource, request: WatchRequest) {
    this.#call = call;
    this.#meter = backend.requests.of(resource, "watch", "", request.namespace ?? "");
    this.#beginning = this.#begin(backend, resource, request);
  }

  async *#begin(
    backend: Backend,
    resource: Resource,
    request: WatchRequest,
  ): AsyncGenerator<WatchItem, Watcher | undefined> {
    const call = this.#call;
    const selection = selectionOf(backend, call, resource, request);
    const deadline = this.#deadline;
    this.#cancel = backend.clock.after(1000 * secondsOf(request), () => deadline.abort());
    const signals = call.signal === undefined ? [] : [call.signal];
    const signal = AbortSignal.any([deadline.signal, ...signals]);
    return yield* follow(backend, call, { resource, selection, request, signal });
  }

  ready(): WatchItem | undefined {
    return this.#watcher?.first?.object.ready ? this.#watcher.take() : undefined;
  }

  async next(): Promise<IteratorResult<WatchItem>> {
    try {
      const value = await this.#next();
      if (value === undefined) {
        this.#end();
        return done;
      }
      if (!value.object.ready) await convertAll([value.object]);
      return { done: false, value };
    } catch (thrown) {
      this.#end(httpCodeOf(StatusError.from(thrown)));
      markSafe(this.#call, thrown);
      throw thrown;
    }
  }

  async #next(): Promise<WatchItem | undefined> {
    if (this.#over) return undefined;
    if (this.#watcher === undefined) {
      const step = await this.#beginning.next();
      if (!step.done) return step.value;
      this.#watcher = step.value;
      if (this.#over) step.value?.end();
    }
    const watcher = this.#watcher;
    if (watcher === undefined) return undefined;
    for (;;) {
      const item = watcher.take();
      if (item !== undefined || watcher.ended) return item;
      await watcher.arrival();
    }
  }

  async return(): Promise<IteratorResult<WatchItem>> {
    this.#end();
    await this.#beginning.return(undefined);
    return done;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #end(code = 200): void {
    if (!this.#over) this.#meter.counted(code);
    endSpan(this.#call, code);
    this.#over = true;
    this.#cancel();
    this.#watcher?.end();
  }
}

/** Throws Forbidden, TooManyRequests, BadRequest. */
function selectionOf(
  backend: Backend,
  call: Call,
  resource: Resource,
  request: WatchRequest,
): Selection {
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
  return selection;
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
): AsyncGenerator<WatchItem, Watcher | undefined> {
  const bookmarks = request.allowWatchBookmarks ?? false;
  if (request.sendInitialEvents === true && !bookmarks) {
    throw badRequest("sendInitialEvents is forbidden unless allowWatchBookmarks is set");
  }
  const version = parseResourceVersion(request.resourceVersion, "resourceVersion");
  const initial = request.sendInitialEvents ?? (version === undefined || version === 0);
  await waitForCache(backend, resource, version);
  const cache = backend.cache.of(resource);
  if (initial || version === undefined || version === 0) {
    const start = { selection, initial, bookmarks, signal, request };
    return yield* fromNow(backend, call, start);
  }
  let position = version;
  while (position < cache.windowStart && !signal.aborted) {
    for await (const step of history(backend, cache, selection, position, signal)) {
      position = step.revision;
      call.streamBegun();
      yield* step.items;
    }
  }
  if (signal.aborted) return undefined;
  return yield* live(call, cache, position, { selection, bookmarks, signal });
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
  start: Start,
): AsyncGenerator<WatchItem, Watcher | undefined> {
  const { selection, signal, bookmarks } = start;
  const begin = () => {
    // The resource may have been removed while the watch waited.
    const cache = backend.cache.of(selection.resource);
    const { revision } = backend.cache;
    const existing = start.initial ? [...cache.select(selection)] : [];
    const from = Math.max(revision, cache.windowStart);
    const { watcher } = cache.watchAfter(from, selection, bookmarks);
    return { revision, existing, watcher };
  };
  // A thousand watches that come at once look through many objects one after the other, not at once.
  const { size } = backend.cache.of(selection.resource);
  const many = start.initial && size > limits.watchInTurnObjects;
  const { revision, existing, watcher } = many ? await pieceTurns.whole(begin) : begin();
  if (signal.aborted || backend.cache.closed.aborted) {
    watcher.end();
    return undefined;
  }
  return yield* before(call, watcher, signal, function* () {
    for (const object of existing) yield new WatchItem(EventType.added, object);
    if (start.request.sendInitialEvents === true)
      yield bookmark(selection.resource, revision, true);
  });
}

async function* live(
  call: Call,
  cache: KindCache,
  position: number,
  { selection, bookmarks, signal }: Live,
): AsyncGenerator<WatchItem, Watcher | undefined> {
  const { recent, watcher } = cache.watchAfter(position, selection, bookmarks);
  return yield* before(call, watcher, signal, () => recent);
}

/** Tells the items, then hands the watcher over, which ends with the signal. */
async function* before(
  call: Call,
  watcher: Watcher,
  signal: AbortSignal,
  items: () => Iterable<WatchItem>,
): AsyncGenerator<WatchItem, Watcher | undefined> {
  let handedOver = false;
  signal.addEventListener("abort", () => watcher.end(), { once: true });
  try {
    call.streamBegun();
    for (const item of items()) {
      if (signal.aborted) return undefined;
      yield item;
    }
    handedOver = true;
    return watcher;
  } finally {
    if (!handedOver) watcher.end();
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

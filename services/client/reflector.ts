/**
 * Mirrors one kind into a sink: list by pages, then watch from that revision, for ever. Objects come
 * without managedFields; an update that has none keeps those that are there. Of an object that
 * changes the server tells what has changed, where it can: the rest is shared with the version
 * before, which is why objects of a cache must never be changed.
 *
 *   list ──pages──▶ replace ──▶ watch ──event──▶ apply, advance
 *    ▲                           │  ▲
 *    │                     broken│  │resume from the last revision seen
 *    └──────── Expired ──────────┴──┘
 */
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import { withChanges } from "./changes.ts";
import { Backoff, jittered, type LoopClock, sleep } from "./clock.ts";
import { keyOf } from "./index-store.ts";
import { askedPauseMillis } from "./retryable.ts";
import type { ApiObject, ListOptions, ResourceClient, WatchEvent } from "./types.ts";

const reflectorLimits = {
  pageItems: 500,
  backoffFirstMillis: 20,
  backoffCeilingMillis: 5_000,
  /** The server ends a watch after this; spread so that informers do not resume in step. */
  watchSeconds: 300,
  /** Watches that end together, with their server, are begun anew spread over this. */
  resumeMillisMax: 200,
  /** A watch that stays silent for longer than its own end is stuck. */
  watchGraceMillis: 30_000,
} as const;

interface Sink<T> {
  /** The present version, by `namespace/name`. */
  get(key: string): T | undefined;
  /** A whole list: what is not in it is gone. */
  replace(items: readonly T[]): void;
  apply(type: "ADDED" | "MODIFIED" | "DELETED", object: T): void;
}

export interface ReflectorOptions<T extends ApiObject> {
  readonly client: Pick<ResourceClient<T>, "list" | "watchBatches">;
  readonly sink: Sink<T>;
  readonly log: Log;
  readonly clock: LoopClock;
  readonly selection?: Pick<ListOptions, "namespace" | "labelSelector" | "fieldSelector">;
}

export class Reflector<T extends ApiObject> {
  /** Lists made because a watch had expired. */
  relists = 0;
  readonly #options: ReflectorOptions<T>;
  readonly #backoff = new Backoff(
    reflectorLimits.backoffFirstMillis,
    reflectorLimits.backoffCeilingMillis,
  );
  #revision: string | undefined;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
  }

  /**
   * Lists, and runs until the signal aborts. Never rejects: every failure is retried. May be run
   * again once it has ended.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    this.#revision = undefined;
    while (!signal.aborted) {
      try {
        if (this.#revision === undefined) this.#revision = await this.#list(signal);
        await this.#watch(this.#revision, signal);
      } catch (thrown) {
        if (signal.aborted) return;
        const error = StatusError.from(thrown);
        if (isExpired(error)) {
          if (this.#revision !== undefined) this.relists++;
          this.#revision = undefined;
          log.info("the watch has expired; listing again", { error: error.message });
        } else log.debug("list or watch failed; trying again", { error: error.message });
        const pauseMillis = jittered(Math.max(askedPauseMillis(error), this.#backoff.next()));
        const resumes = this.#revision !== undefined;
        await sleep(clock, pauseMillis + (resumes ? resumeMillis() : 0), signal);
      }
    }
  }

  async #list(signal: AbortSignal): Promise<string> {
    const { client, selection, sink } = this.#options;
    const items: T[] = [];
    let next: string | undefined;
    let revision: string;
    do {
      const page = await client.list({
        ...selection,
        omit: "metadata.managedFields",
        limit: reflectorLimits.pageItems,
        ...(next !== undefined && { continue: next }),
        signal,
      });
      for (const item of page.items) items.push(item);
      next = page.continue;
      revision = page.resourceVersion;
    } while (next !== undefined);
    signal.throwIfAborted();
    sink.replace(items);
    return revision;
  }

  async #watch(resourceVersion: string, signal: AbortSignal): Promise<void> {
    const { client, clock, selection } = this.#options;
    const seconds = Math.round(jittered(reflectorLimits.watchSeconds));
    const stuck = new AbortController();
    const limit = seconds * 1000 + reflectorLimits.watchGraceMillis;
    const cancel = clock.after(limit, () => stuck.abort());
    const began = clock.monotonicMillis();
    let events = 0;
    try {
      for await (const batch of client.watchBatches({
        ...selection,
        omit: "metadata.managedFields",
        changes: true,
        resourceVersion,
        allowBookmarks: true,
        timeoutSeconds: seconds,
        signal: AbortSignal.any([signal, stuck.signal]),
      })) {
        for (const event of batch) this.#handle(event);
        events += batch.length;
        this.#backoff.reset();
      }
    } finally {
      cancel();
    }
    // A server that ends every watch at once must not be asked in a tight loop.
    const atOnce = events === 0 && clock.monotonicMillis() - began < 1000;
    await sleep(clock, atOnce ? jittered(this.#backoff.next()) : resumeMillis(), signal);
  }

  #handle(event: WatchEvent<T>): void {
    const revision = event.object.metadata?.resourceVersion;
    if (event.type !== "BOOKMARK") this.#options.sink.apply(event.type, this.#whole(event));
    if (revision) this.#revision = revision;
  }

  #whole({ object, base }: WatchEvent<T>): T {
    if (base === undefined) return object;
    const key = keyOf(object);
    const known = this.#options.sink.get(key);
    const version = known?.metadata?.resourceVersion;
    if (known !== undefined && version === base) return withChanges(known, object);
    // Nothing can be built on: everything is listed again.
    const what = `the watch tells a change of ${key} since ${base}, which is known as of ${version}`;
    throw new StatusError(Code.outOfRange, what);
  }
}

function resumeMillis(): number {
  return reflectorLimits.resumeMillisMax * Math.random();
}

/** The revision asked for is no longer in the history (HTTP 410; etcd: compacted). */
function isExpired(error: StatusError): boolean {
  return (
    error.code === Code.outOfRange ||
    error.detail?.reason === "Expired" ||
    error.detail?.reason === "Gone"
  );
}

/**
 * The watch hub: from the revisions of a turn to the batches of every watcher.
 *
 * `apply` tells it of every revision; the driver calls {@link WatchHub.flush} when what it applied
 * may be seen. Watchers that agree in range and options are one group and get the very same batch.
 * A watcher that is not up to date (a start in the past, a queue that ran full) leaves its group
 * and is fed from the revision records, at the pace at which it reads; nothing is skipped or
 * repeated: a watcher's `next` says which revision it is owed.
 */
import type { StatusError } from "../runtime/status-error.ts";
import { DiskError, type Log } from "../runtime/types.ts";
import * as errors from "./errors.ts";
import type { AppliedChange } from "./history.ts";
import {
  byRevision,
  type Change,
  corruptRecord,
  decodeChanges,
  diskKey,
  openRecord,
  type PageReader,
  Prefix,
  rangeFrom,
} from "./layout.ts";
import { defaultWatchLimits, type WatchLimits } from "./limits.ts";
import type { RevisionObserver, StateMachine } from "./state-machine.ts";
import type { DirectWatch, Revision, WatchEvent, WatchRequest } from "./types.ts";
import { ChangeEvents, pastEvent } from "./watch-events.ts";
import { WatchGroups } from "./watch-groups.ts";
import { type QueuedBatch, Watcher, type WatcherOwner, weightOf } from "./watch-stream.ts";

export interface WatchHubOptions {
  readonly limits?: WatchLimits | undefined;
  readonly log?: Log | undefined;
  /** Called when history on the disk cannot be read. */
  readonly unreadable?: ((error: DiskError) => void) | undefined;
}

export class WatchHub implements RevisionObserver, WatcherOwner {
  private readonly machine: StateMachine;
  private readonly read: PageReader;
  private readonly limits: WatchLimits;
  private readonly log: Log | undefined;
  private readonly unreadable: WatchHubOptions["unreadable"];
  private readonly groups = new WatchGroups();
  /** All open watchers. */
  private readonly watchers = new Set<Watcher>();
  /** Synced watchers that want to know how far the store has come. */
  private readonly progress = new Set<Watcher>();
  /** Watchers that start at a revision to come. */
  private readonly future = new Set<Watcher>();
  /** Queued for watchers; what several have queued counts for each. */
  heldBytes = 0;
  /** The changes applied since the last flush. */
  private turn: (readonly AppliedChange[])[] = [];
  /** The newest revision that watchers may know of. */
  private flushed: number;
  private stopped: StatusError | undefined;

  constructor(machine: StateMachine, read: PageReader, options: WatchHubOptions = {}) {
    this.machine = machine;
    this.read = read;
    this.limits = options.limits ?? defaultWatchLimits;
    this.log = options.log;
    this.unreadable = options.unreadable;
    this.flushed = machine.revision;
    machine.observer = this;
  }

  /** Open watchers. */
  get size(): number {
    return this.watchers.size;
  }

  /** The newest revision that has been flushed. */
  get revision(): Revision {
    return this.flushed as Revision;
  }

  changed(_revision: number, changes: readonly AppliedChange[]): void {
    this.turn.push(changes);
  }

  /** Delivers what was applied since the last call. What it shows must be on its way to disk. */
  flush(): void {
    const revision = this.machine.revision;
    if (revision === this.flushed) return;
    const before = this.flushed;
    this.flushed = revision;
    const { turn } = this;
    this.turn = [];
    if (this.groups.size > 0) {
      for (const changes of turn) {
        for (const change of changes) this.groups.add(new ChangeEvents(change));
      }
    }
    for (const group of this.groups.takeTouched()) {
      const { events } = group;
      group.events = [];
      const queued = { batch: { events, revision }, bytes: weightOf(events) };
      this.deliver(group.watchers, queued, before + 1);
    }
    if (this.progress.size > 0) {
      const queued = this.progressBatch();
      for (const watcher of this.progress) if (watcher.next <= revision) watcher.push(queued);
    }
    for (const watcher of this.future) {
      if (watcher.next > revision + 1) continue;
      this.future.delete(watcher);
      if (watcher.next === revision + 1) this.sync(watcher);
      else if (watcher.hungry) this.catchUp(watcher);
    }
  }

  /** Queues a batch for the `watchers` of a group. A watcher without room leaves the group. */
  private deliver(watchers: readonly Watcher[], queued: QueuedBatch, from: number): void {
    const { maxQueuedEvents, maxQueuedBytes, maxHeldBytes } = this.limits;
    const mostEvents = maxQueuedEvents - queued.batch.events.length;
    const mostBytes = maxQueuedBytes - queued.bytes;
    for (let index = 0; index < watchers.length; ) {
      const watcher = watchers[index] as Watcher;
      const { queuedEvents } = watcher;
      const full =
        queuedEvents > mostEvents ||
        watcher.queuedBytes > mostBytes ||
        this.heldBytes > maxHeldBytes;
      // A batch that is too large by itself goes to a watcher whose queue is empty.
      if (full && queuedEvents > 0) {
        this.fallBehind(watcher, from);
      } else {
        watcher.push(queued);
        index++;
      }
    }
  }

  private progressBatch(): QueuedBatch {
    return { batch: { events: [], revision: this.flushed as Revision }, bytes: 0 };
  }

  /** The watcher has got all its changes before `from`. */
  private fallBehind(watcher: Watcher, from: number): void {
    this.log?.debug("watcher is slow and continues from history", { from });
    watcher.next = from;
    this.groups.leave(watcher);
    this.progress.delete(watcher);
    watcher.state = "behind";
  }

  /** Begins a watch. What is wrong with the request is thrown by the iteration. */
  watch(request: WatchRequest): DirectWatch {
    const watcher = new Watcher(this, request, this.flushed as Revision);
    const refusal = this.refusal(request);
    if (refusal !== undefined) {
      watcher.fail(refusal);
      return watcher;
    }
    this.watchers.add(watcher);
    if (watcher.next === this.flushed + 1) this.sync(watcher);
    else if (watcher.next > this.flushed) this.future.add(watcher);
    return watcher;
  }

  private refusal(request: WatchRequest): StatusError | undefined {
    if (this.stopped !== undefined) return this.stopped;
    const { startRevision } = request;
    if (request.key.length === 0) return errors.emptyKey();
    if (
      startRevision !== undefined &&
      !(Number.isSafeInteger(startRevision) && startRevision >= 0)
    ) {
      return errors.invalid("startRevision", startRevision, "an integer in 0..2^53-1");
    }
    if (this.watchers.size >= this.limits.maxWatchers) return errors.tooManyRequests();
    return startRevision && startRevision < this.machine.compactRevision
      ? errors.compacted()
      : undefined;
  }

  /** The watcher has everything that was flushed: it gets the next turns as they come. */
  private sync(watcher: Watcher): void {
    watcher.state = "synced";
    this.groups.join(watcher);
    if (watcher.progress) this.progress.add(watcher);
    if (watcher.asked) this.progressAsked(watcher);
  }

  /**
   * Tells the watcher the present revision at once if it is synced, or if it waits for a future
   * revision. A watcher that is behind is told once it has caught up ({@link sync}).
   */
  progressAsked(watcher: Watcher): void {
    if (watcher.state !== "synced" && !this.future.has(watcher)) return;
    watcher.asked = false;
    watcher.push(this.progressBatch());
  }

  closed(watcher: Watcher): void {
    this.watchers.delete(watcher);
    this.progress.delete(watcher);
    this.future.delete(watcher);
    this.groups.leave(watcher);
  }

  /** Reads one page of history for a watcher that waits for it. */
  catchUp(watcher: Watcher): void {
    if (watcher.reading || this.future.has(watcher)) return;
    watcher.reading = true;
    const { next } = watcher;
    const first = this.machine.history.records.firstOf(next);
    const range = rangeFrom(Prefix.revision, first, this.limits.catchUpPageRecords);
    void this.read(range)
      .then((page) => this.caughtUp(watcher, page))
      .catch((thrown: unknown) => {
        // Anything else is a bug: it ends the member, as it does in `apply`.
        if (!(thrown instanceof DiskError)) throw thrown;
        watcher.fail(errors.diskFailed(thrown));
        this.unreadable?.(thrown);
      });
  }

  private caughtUp(watcher: Watcher, page: Awaited<ReturnType<PageReader>>): void {
    watcher.reading = false;
    if (watcher.state !== "behind") return;
    const records = new Map<number, readonly Change[]>();
    let lastRead = 0;
    for (const [key, value] of page) {
      for (const [revision, changes] of byRevision(decodeChanges(key, openRecord(key, value)))) {
        records.set(revision, changes);
        lastRead = revision;
      }
    }
    // After a full page there is more on disk: that is another one's.
    const through = page.length < this.limits.catchUpPageRecords ? this.flushed : lastRead;
    if (watcher.next < this.machine.compactRevision) {
      watcher.fail(errors.compacted());
      return;
    }
    const events: WatchEvent[] = [];
    let bytes = 0;
    let last = watcher.next - 1;
    while (last < Math.min(through, this.flushed) && bytes < this.limits.maxQueuedBytes) {
      const revision = last + 1;
      // Applied after the page was read, or not on disk yet: read by itself.
      const changes = records.get(revision) ?? this.machine.record(revision);
      if (changes === undefined) {
        throw corruptRecord(diskKey(Prefix.revision, revision), "is missing");
      }
      for (const change of changes) {
        const event = pastEvent(this.machine.history, watcher.scope, change);
        if (event === undefined) continue;
        events.push(event);
        bytes += weightOf([event]);
      }
      last = revision;
    }
    this.handOver(watcher, events, bytes, last);
  }

  private handOver(watcher: Watcher, events: WatchEvent[], bytes: number, last: number): void {
    if (last >= watcher.next && (events.length > 0 || watcher.progress)) {
      watcher.push({ batch: { events, revision: last as Revision }, bytes });
    }
    watcher.next = last + 1;
    if (last === this.flushed) this.sync(watcher);
    else if (watcher.hungry) this.catchUp(watcher);
  }

  /** Ends every watch with `unavailable`; the member goes away or has to be restored. */
  stop(error: StatusError = errors.stopped()): void {
    this.stopped = error;
    for (const watcher of this.watchers) watcher.fail(error);
  }
}

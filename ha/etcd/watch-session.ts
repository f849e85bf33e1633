/**
 * One Watch stream: many watches, each fed by a watch of the store, their responses handed over one
 * at a time (exchange.ts). A client that reads slowly therefore stops the store's streams, which
 * continue from history later: nothing is skipped, and nothing piles up here.
 *
 * Progress. A watch that has to tell how far it has come without having events (`progress_notify`,
 * or a progress request on its stream) is a store watch with `progress`, which wakes it for every
 * batch applied; all others sleep until they have events. The first progress request on a stream
 * therefore opens its watches anew, each from where it stands. One that has been idle for so long
 * that compaction has passed it stays as it is: until it has an event again, progress requests on
 * its stream go unanswered, as etcd leaves them while a watch is not up to date.
 */
import type {
  WatchCreateRequest,
  WatchResponse,
  WatchRequest as WireRequest,
} from "../../proto/gen/etcd.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Revision, WatchBatch, WatchRequest, WatchStream } from "../store/mod.ts";
import type { Caller } from "./caller.ts";
import * as errors from "./errors.ts";
import { Exchange } from "./exchange.ts";
import type { Front } from "./front.ts";
import { mayShowReserved, visibleEvents } from "./reserved.ts";
import { eventResponses, refusalText, watchOf } from "./watch-messages.ts";

/** Of responses that are about no watch, or about all. */
const noWatch = -1n;

interface Watch {
  readonly id: bigint;
  readonly request: WatchRequest;
  readonly fragment: boolean;
  /** The client wants to know of progress now and then. */
  readonly notify: boolean;
  /** Reserved keys are in its range, and have to be left out. */
  readonly filtered: boolean;
  stream: WatchStream;
  /** The stream tells of progress. */
  progress: boolean;
  /** The stream has been closed in order to be opened anew, telling of progress. */
  reopens: boolean;
  /** Everything up to here has been handed over. */
  delivered: number;
  /** A response waits to be taken. */
  handing: boolean;
  /** The client has heard of it since the last reminder. */
  heard: boolean;
  closed: boolean;
}

export interface WatchSessionOptions {
  readonly progressMillis: number;
  readonly maxWatches: number;
  readonly maxResponseBytes: number;
}

export class WatchSession {
  readonly answers = new Exchange<WatchResponse>();
  private readonly front: Front;
  private readonly options: WatchSessionOptions;
  private readonly watches = new Map<bigint, Watch>();
  private readonly timer: NodeJS.Timeout;
  private nextId = 0n;
  /** A progress request that waits until every watch has come so far. */
  private wanted: number | undefined;
  /** An answer to a progress request waits to be taken. */
  private telling = false;
  /** Whether the client has ever sent a progress request. */
  private asksForProgress = false;
  private closed = false;

  constructor(front: Front, options: WatchSessionOptions) {
    this.front = front;
    this.options = options;
    // Spread, lest the watches of many streams that began together all tell at the same time.
    const millis = options.progressMillis * (1 + Math.random() / 10);
    this.timer = setInterval(() => this.remind(), millis);
    this.answers.whenClosed(() => this.close());
  }

  /** Serves the requests until they end or the stream does. */
  async run(requests: AsyncIterable<WireRequest>, caller: () => Promise<Caller>): Promise<void> {
    for await (const { requestUnion: request } of requests) {
      switch (request?.$case) {
        case "createRequest":
          await this.create(request.value, caller);
          break;
        case "cancelRequest":
          await this.cancel(request.value.watchId ?? 0n);
          break;
        case "progressRequest":
          await this.askProgress();
          break;
        default:
          // A request of a kind that we do not know is passed over, as etcd does.
          break;
      }
    }
  }

  private async create(create: WatchCreateRequest, caller: () => Promise<Caller>): Promise<void> {
    const { header } = this.front;
    let watch: Watch;
    try {
      watch = await this.open(create, await caller());
    } catch (thrown) {
      const error = StatusError.from(thrown);
      if (error.code === Code.unavailable) throw thrown;
      const cancelReason = refusalText(error);
      const refusal = { watchId: noWatch, created: true, canceled: true, cancelReason };
      await this.answers.offer({ header: await header.now(), ...refusal });
      return;
    }
    if (this.closed) {
      // The client went away in the meantime, and nobody else would ever close it.
      watch.stream.close();
      return;
    }
    const revision = await watch.stream.created.catch(
      // The iteration tells what is wrong, after the watch has been announced.
      () => header.revision(),
    );
    if (watch.request.startRevision === undefined) watch.delivered = revision;
    const announced = this.answers.offer({
      header: header.of(revision),
      watchId: watch.id,
      created: true,
    });
    void this.pump(watch);
    await announced;
  }

  private async open(create: WatchCreateRequest, caller: Caller): Promise<Watch> {
    const request = watchOf(create);
    const { maxWatches } = this.options;
    if (this.watches.size >= maxWatches) {
      throw errors.tooManyWatches(maxWatches);
    }
    const wanted = create.watchId ?? 0n;
    if (wanted !== 0n && this.watches.has(wanted)) throw errors.duplicateWatch();
    const filtered = mayShowReserved(request);
    const progress = create.progressNotify === true || this.asksForProgress;
    const stream = await this.front.watch(caller, { ...request, progress });
    const watch: Watch = {
      id: wanted === 0n ? this.freeId() : wanted,
      request,
      fragment: create.fragment === true,
      notify: create.progressNotify === true,
      filtered,
      stream,
      progress,
      reopens: false,
      delivered: (request.startRevision ?? 1) - 1,
      handing: false,
      heard: false,
      closed: false,
    };
    if (!this.closed) this.watches.set(watch.id, watch);
    return watch;
  }

  private freeId(): bigint {
    while (this.watches.has(this.nextId)) this.nextId++;
    return this.nextId++;
  }

  /** Hands over what the store delivers, until the watch or the stream ends. Never throws. */
  private async pump(watch: Watch): Promise<void> {
    try {
      for (;;) {
        for await (const batch of watch.stream) await this.deliver(watch, batch);
        if (watch.closed || !watch.reopens) return;
        watch.reopens = false;
        watch.progress = true;
        const startRevision = (watch.delivered + 1) as Revision;
        watch.stream = this.front.store.watch({ ...watch.request, startRevision, progress: true });
      }
    } catch (thrown) {
      if (!watch.closed) await this.end(watch, StatusError.from(thrown));
    }
  }

  private async deliver(watch: Watch, batch: WatchBatch): Promise<void> {
    const events = watch.filtered ? visibleEvents(batch.events) : batch.events;
    if (events.length > 0) {
      const { fragment } = watch;
      const cut = { fragment, maxBytes: this.options.maxResponseBytes };
      watch.handing = true;
      const visible = { events, revision: batch.revision };
      for (const answer of eventResponses(this.front.header, watch.id, visible, cut)) {
        if (watch.closed || !(await this.answers.offer(answer))) return;
      }
      watch.handing = false;
      watch.heard = true;
    }
    watch.delivered = batch.revision;
    this.tellProgress();
  }

  /** The store has ended the watch. */
  private async end(watch: Watch, error: StatusError): Promise<void> {
    this.drop(watch);
    if (error.code === Code.unavailable) {
      this.answers.fail(error);
      return;
    }
    try {
      const { revision, compactRevision } = await this.front.store.status();
      const compacted = error.code === Code.outOfRange;
      await this.answers.offer({
        header: this.front.header.of(revision),
        watchId: watch.id,
        canceled: true,
        cancelReason: error.message,
        ...(compacted && { compactRevision: BigInt(compactRevision) }),
      });
    } catch (thrown) {
      this.answers.fail(StatusError.from(thrown));
    }
  }

  private async cancel(id: bigint): Promise<void> {
    const watch = this.watches.get(id);
    // Nobody watches under this id (any more): etcd does not answer either.
    if (watch === undefined) return;
    this.drop(watch);
    const header = await this.front.header.now();
    await this.answers.offer({ header, watchId: id, canceled: true });
  }

  private drop(watch: Watch): void {
    watch.closed = true;
    watch.stream.close();
    this.watches.delete(watch.id);
    if (this.watches.size === 0) this.wanted = undefined;
    this.tellProgress();
  }

  private async askProgress(): Promise<void> {
    this.asksForProgress = true;
    if (this.watches.size === 0) return;
    const { revision, compactRevision } = await this.front.store.status();
    this.wanted = Math.max(this.wanted ?? 0, revision);
    for (const watch of this.watches.values()) {
      if (watch.progress || watch.reopens || watch.delivered + 1 < compactRevision) continue;
      watch.reopens = true;
      watch.stream.close();
    }
    this.tellProgress();
  }

  /** Answers a progress request if every watch has come so far. */
  private tellProgress(): void {
    if (this.wanted === undefined || this.telling || this.watches.size === 0) return;
    let least = Number.POSITIVE_INFINITY;
    for (const { delivered } of this.watches.values()) least = Math.min(least, delivered);
    if (least < this.wanted) return;
    this.wanted = undefined;
    this.telling = true;
    const header = this.front.header.of(least as Revision);
    void this.answers.offer({ header, watchId: noWatch }).then(() => {
      this.telling = false;
      this.tellProgress();
    });
  }

  /** Tells the clients of idle watches how far these have come. */
  private remind(): void {
    for (const watch of this.watches.values()) {
      if (!watch.notify || watch.handing) continue;
      if (watch.heard) {
        watch.heard = false;
        continue;
      }
      watch.handing = true;
      const header = this.front.header.of(watch.delivered as Revision);
      void this.answers.offer({ header, watchId: watch.id }).then(() => {
        watch.handing = false;
      });
    }
  }

  private close(): void {
    this.closed = true;
    clearInterval(this.timer);
    for (const watch of this.watches.values()) {
      watch.closed = true;
      watch.stream.close();
    }
    this.watches.clear();
  }
}

/**
 * One Watch stream: many watches, each fed by a watch of the store, their responses handed over one
 * at a time (exchange.ts). A client that reads slowly therefore stops the store's streams, which
 * continue from history later: nothing is skipped, and nothing piles up here.
 *
 * Progress. A watch that has to tell how far it has come without having events (`progress_notify`,
 * or a progress request on its stream) is a store watch with `progress`, which wakes it for every
 * batch applied; all others sleep until they have events. The first progress request on a stream
 * therefore opens its watches anew, each from where it stands.
 */
import type {
  WatchCreateRequest,
  WatchRequest as WireRequest,
  WatchResponse,
} from "../../proto/gen/etcd.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Revision, WatchBatch, WatchRequest, WatchStream } from "../store/mod.ts";
import type { Caller } from "./caller.ts";
import * as errors from "./errors.ts";
import { Exchange } from "./exchange.ts";
import type { Front } from "./front.ts";
import { etcdLimits } from "./limits.ts";
import { mayShowReserved, visibleEvents } from "./reserved.ts";
import { eventResponses, watchOf } from "./watch-messages.ts";

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
  /** Everything up to here has been handed over. */
  delivered: number;
  /** It is time to tell the client, as no event has done so. */
  overdue: boolean;
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
  /** Whether the client has ever sent a progress request. */
  private asksForProgress = false;

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
      const { code, message } = StatusError.from(thrown);
      if (code === Code.unavailable) throw thrown;
      const refusal = { watchId: noWatch, created: true, canceled: true, cancelReason: message };
      await this.answers.offer({ header: await header.now(), ...refusal });
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
      throw errors.tooLarge("the stream", this.watches.size + 1, maxWatches, "watches");
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
      delivered: (request.startRevision ?? 1) - 1,
      overdue: true,
      closed: false,
    };
    this.watches.set(watch.id, watch);
    return watch;
  }

  private freeId(): bigint {
    while (this.watches.has(this.nextId)) this.nextId++;
    return this.nextId++;
  }

  /** Hands over what the store delivers, until the watch or the stream ends. Never throws. */
  private async pump(watch: Watch): Promise<void> {
    try {
      while (!watch.closed) {
        const { stream } = watch;
        for await (const batch of stream) {
          if (watch.closed) break;
          await this.deliver(watch, batch);
          // Opened anew in the meantime: what the old stream still has comes from the new one.
          if (watch.stream !== stream) break;
        }
        // The store ends a watch by itself only with an error.
        if (watch.stream === stream) return;
      }
    } catch (thrown) {
      if (!watch.closed) await this.end(watch, StatusError.from(thrown));
    }
  }

  private async deliver(watch: Watch, batch: WatchBatch): Promise<void> {
    const { header } = this.front;
    const events = watch.filtered ? visibleEvents(batch.events) : batch.events;
    if (events.length > 0) {
      const { fragment } = watch;
      const maxBytes = this.options.maxResponseBytes;
      const cut = { fragment, maxBytes };
      for (const answer of eventResponses(header, watch.id, { ...batch, events }, cut)) {
        if (!(await this.answers.offer(answer)) || watch.closed) return;
      }
      watch.overdue = false;
    } else if (watch.notify && watch.overdue === true && watch.reminded) {
      watch.reminded = false;
    }
    watch.delivered = batch.revision;
    this.answerProgress();
  }

  private async end(watch: Watch, error: StatusError): Promise<void> {
    this.drop(watch);
    if (error.code === Code.unavailable) {
      this.answers.fail(error);
      return;
    }
    const status = await this.front.store.status();
    const compacted = error.code === Code.outOfRange && { compactRevision: BigInt(status.compactRevision) };
    await this.answers.offer({
      header: this.front.header.of(status.revision),
      watchId: watch.id,
      canceled: true,
      cancelReason: error.message,
      ...compacted,
    });
  }
}

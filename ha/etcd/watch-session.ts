/**
 * One Watch stream with many watches, each fed by a watch of the store. A watch that has events
 * stands in a line, and the line is served once a turn, as long as the client reads. While the
 * client does not read, nothing is taken from the store's watches; they continue from history
 * later. So no event is skipped, and no queue grows here.
 *
 * Progress. The store's watch reports its revision without events only on `requestProgress`. That
 * is called at intervals for `progress_notify`, and for a progress request of the client, which is
 * answered when every watch of the stream has reported.
 */
import type {
  WatchCreateRequest,
  WatchResponse,
  WatchRequest as WireRequest,
} from "../../proto/gen/etcd.ts";
import type { Answers } from "../rpc/mod.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Cancel } from "../runtime/types.ts";
import type { DirectWatch, Revision, WatchBatch } from "../store/mod.ts";
import type { StoreAccess } from "./access.ts";
import type { Caller } from "./caller.ts";
import * as errors from "./errors.ts";
import { mayShowReserved, visibleEvents } from "./reserved.ts";
import type { WatchBodies } from "./watch-bodies.ts";
import type { WatchFrames } from "./watch-frames.ts";
import { refusalText, watchOf } from "./watch-messages.ts";

/** Of responses that are about no watch, or about all. */
const noWatch = -1n;
/** The line is served in pieces of about so much. */
const pieceBytes = 64 * 1024;

interface Watch {
  readonly id: bigint;
  readonly fragment: boolean;
  /** The client wants to know of progress now and then. */
  readonly notify: boolean;
  /** Reserved keys are in its range, and have to be left out. */
  readonly filtered: boolean;
  readonly stream: DirectWatch;
  /** Everything up to here has been written. */
  delivered: Revision;
  /** The watch is in the queue of watches to serve. */
  waits: boolean;
  /** The client is to be reminded of it. */
  reminds: boolean;
  /** The watch has yet to report its progress for a progress request. */
  owes: boolean;
  /** The client has heard of it since the last reminder. */
  heard: boolean;
  closed: boolean;
}

export interface WatchSessionOptions {
  readonly progressMillis: number;
  readonly maxWatches: number;
}

export class WatchSession {
  private readonly access: StoreAccess;
  private readonly bodies: WatchBodies;
  private readonly answers: Answers<WatchResponse>;
  private readonly options: WatchSessionOptions;
  private readonly watches = new Map<bigint, Watch>();
  private readonly frames: WatchFrames;
  private line: Watch[] = [];
  private called = false;
  /** The client is slow. */
  private full = false;
  /** Requests wait with it. */
  private resume: (() => void) | undefined;
  /** Runs only while a watch wants progress notifications. */
  private timer: NodeJS.Timeout | undefined;
  private nextId = 0n;
  /** A progress request waits until every watch has reported its revision. */
  private asked = false;
  private owing = 0;
  private closers: Cancel[] = [];
  private closed = false;

  /** `frames` may be shared by all streams: each leaves it empty whenever it has done something. */
  constructor(
    access: StoreAccess,
    shared: { readonly bodies: WatchBodies; readonly frames: WatchFrames },
    answers: Answers<WatchResponse>,
    options: WatchSessionOptions,
  ) {
    this.access = access;
    this.bodies = shared.bodies;
    this.frames = shared.frames;
    this.answers = answers;
    this.options = options;
    answers.onDrain = () => this.drained();
    answers.onClosed = () => this.close();
  }

  /** `closer` is called once, when the stream ends, with or without an error. */
  whenClosed(closer: Cancel): void {
    if (this.closed) closer();
    else this.closers.push(closer);
  }

  fail(error: StatusError): void {
    this.answers.fail(error);
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
          this.askProgress();
          break;
        default:
          // A request of a kind that we do not know is passed over, as etcd does.
          break;
      }
      // Each request may be answered: a client that does not read the answers may not send more.
      if (this.full) await new Promise<void>((resume) => (this.resume = resume));
    }
  }

  private async create(create: WatchCreateRequest, caller: () => Promise<Caller>): Promise<void> {
    const { header } = this.access;
    let watch: Watch;
    try {
      watch = await this.open(create, await caller());
    } catch (thrown) {
      const error = StatusError.from(thrown);
      if (error.code === Code.unavailable) throw thrown;
      const cancelReason = refusalText(error);
      const refusal = { watchId: noWatch, created: true, canceled: true, cancelReason };
      this.tell({ header: await header.now(), ...refusal });
      return;
    }
    if (this.closed) {
      // The client went away in the meantime: this is the only place that can close the watch.
      watch.stream.close();
      return;
    }
    const revision = await watch.stream.created;
    this.tell({ header: header.of(revision), watchId: watch.id, created: true });
    watch.stream.onReady = () => this.queue(watch);
    this.queue(watch);
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
    const stream = await this.access.watch(caller, request);
    const watch: Watch = {
      id: wanted === 0n ? this.freeId() : wanted,
      fragment: create.fragment === true,
      notify: create.progressNotify === true,
      filtered,
      stream,
      delivered: 0 as Revision,
      waits: false,
      reminds: false,
      owes: false,
      heard: false,
      closed: false,
    };
    if (this.closed) return watch;
    this.watches.set(watch.id, watch);
    if (watch.notify) this.startReminding();
    // A progress request that has not been answered yet is about this watch, too.
    if (this.asked) this.askOf(watch);
    return watch;
  }

  private freeId(): bigint {
    while (this.watches.has(this.nextId)) this.nextId++;
    return this.nextId++;
  }

  private queue(watch: Watch): void {
    if (watch.waits) return;
    watch.waits = true;
    this.line.push(watch);
    this.call();
  }

  /** Serves the queued watches at the end of the current callback. */
  private call(): void {
    if (this.called || this.full) return;
    this.called = true;
    queueMicrotask(() => this.serve());
  }

  private serve(): void {
    this.called = false;
    const { line } = this;
    let at = 0;
    while (at < line.length && !this.full) {
      const watch = line[at] as Watch;
      if (this.takeFrom(watch, line.length - at)) {
        watch.waits = false;
        at++;
      }
      if (this.frames.bytes >= pieceBytes) this.write();
    }
    this.line = at === line.length ? [] : line.slice(at);
    this.write();
    this.tellProgress();
  }

  private write(): void {
    if (this.frames.bytes > 0) this.full = !this.answers.writeFramed(this.frames.take());
  }

  /** Takes one batch of the watch. True: it has nothing more for now. */
  private takeFrom(watch: Watch, alike: number): boolean {
    if (watch.closed) return true;
    try {
      const batch = watch.stream.take();
      if (batch === undefined) return true;
      this.deliver(watch, batch, alike);
      return false;
    } catch (thrown) {
      void this.end(watch, StatusError.from(thrown));
      return true;
    }
  }

  private deliver(watch: Watch, batch: WatchBatch, alike: number): void {
    const { revision } = batch;
    const events = watch.filtered ? visibleEvents(batch.events) : batch.events;
    watch.delivered = revision;
    if (events.length > 0) {
      watch.heard = true;
      const small = watch.id >= 0n && watch.id < 0x7fff_ffffn;
      for (const body of this.bodies.of({ events, revision }, watch.fragment)) {
        const header = small
          ? this.bodies.headerAt(body.revision)
          : this.bodies.headerWith(body.revision, watch.id);
        this.frames.add(header, small ? Number(watch.id) : 0, body.bytes, alike);
      }
    } else if (batch.events.length === 0) {
      this.progressed(watch);
    }
  }

  /** A response that is about no event. */
  private tell(response: WatchResponse): void {
    this.write();
    if (!this.answers.write(response)) this.full = true;
  }

  private drained(): void {
    this.full = false;
    if (this.line.length > 0) this.call();
    const { resume } = this;
    this.resume = undefined;
    resume?.();
  }

  /** The store has ended the watch. */
  private async end(watch: Watch, error: StatusError): Promise<void> {
    this.drop(watch);
    if (error.code === Code.unavailable) {
      this.answers.fail(error);
      return;
    }
    try {
      const { header, store } = this.access;
      const { revision, compactRevision } = await store.status();
      const canceled = { watchId: watch.id, canceled: true };
      // In place of a reason and a revision etcd says where history begins.
      if (error.code === Code.outOfRange) {
        const begins = BigInt(compactRevision);
        this.tell({ header: header.ofCluster(), ...canceled, compactRevision: begins });
      } else {
        this.tell({ header: header.of(revision), ...canceled, cancelReason: error.message });
      }
    } catch (thrown) {
      this.answers.fail(StatusError.from(thrown));
    }
  }

  private async cancel(id: bigint): Promise<void> {
    const watch = this.watches.get(id);
    // There is no watch with this id: etcd does not answer either.
    if (watch === undefined) return;
    this.drop(watch);
    this.tell({ header: await this.access.header.now(), watchId: id, canceled: true });
  }

  private drop(watch: Watch): void {
    watch.closed = true;
    watch.stream.close();
    this.watches.delete(watch.id);
    if (!watch.owes) return;
    watch.owes = false;
    this.owing--;
    this.tellProgress();
  }

  private askProgress(): void {
    if (this.watches.size === 0) return;
    this.asked = true;
    for (const watch of this.watches.values()) this.askOf(watch);
  }

  private askOf(watch: Watch): void {
    if (!watch.owes) this.owing++;
    watch.owes = true;
    watch.stream.requestProgress();
  }

  /** The watch has told how far it has come. */
  private progressed(watch: Watch): void {
    if (watch.owes) this.owing--;
    watch.owes = false;
    if (!watch.reminds) return;
    watch.reminds = false;
    this.tell({ header: this.access.header.of(watch.delivered), watchId: watch.id });
  }

  /** Answers a progress request if every watch has told. */
  private tellProgress(): void {
    if (!this.asked || this.owing > 0) return;
    this.asked = false;
    let least: Revision | undefined;
    for (const { delivered } of this.watches.values()) {
      if (least === undefined || delivered < least) least = delivered;
    }
    if (least === undefined) return;
    this.tell({ header: this.access.header.of(least), watchId: noWatch });
  }

  private startReminding(): void {
    // Spread, lest the watches of many streams that began together all tell at the same time.
    const millis = this.options.progressMillis * (1 + Math.random() / 10);
    this.timer ??= setInterval(() => this.remind(), millis);
  }

  /** Tells the clients of idle watches how far these have come. */
  private remind(): void {
    for (const watch of this.watches.values()) {
      if (!watch.notify) continue;
      if (watch.heard) {
        watch.heard = false;
        continue;
      }
      watch.reminds = true;
      watch.stream.requestProgress();
    }
  }

  private close(): void {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.timer);
    for (const watch of this.watches.values()) {
      watch.closed = true;
      watch.stream.close();
    }
    this.watches.clear();
    this.line = [];
    for (const close of this.closers.splice(0)) close();
    this.resume?.();
  }
}

/**
 * One watch on the cluster, on a stream of its own. When the stream or its member is lost, the
 * watch goes on at the next endpoint from the first revision that has not been queued yet: etcd
 * keeps history, so nothing is lost, and nothing comes twice.
 *
 *   open ──(created)──► running ──(stream lost)──► pause ──► open at another endpoint
 *                          └──(history compacted, refused, lost for too long)──► failed
 */
import type { ClientDuplexStream } from "@grpc/grpc-js";
import type { WatchResponse, WatchRequest as WireWatch } from "../../../proto/gen/etcd.ts";
import { Code, StatusError } from "../../runtime/status-error.ts";
import {
  type Revision,
  storeErrors,
  type WatchBatch,
  type WatchEvent,
  type WatchRequest,
  type WatchStream,
} from "../../store/mod.ts";
import { eventOf, revisionIn } from "./answers.ts";
import { type Endpoint, type Endpoints, needsLeader } from "./endpoints.ts";
import { failureOf, unexpectedAnswer } from "./failures.ts";
import { externalLimits } from "./limits.ts";
import { pause } from "./pause.ts";
import { Progress } from "./progress.ts";
import { BatchQueue } from "./queue.ts";
import { wireWatchRequest } from "./requests.ts";

export interface WatchOwner {
  readonly endpoints: Endpoints;
  /** A response has named a revision of the store. */
  observed(revision: number): void;
  /** History below the revision is gone. */
  compacted(revision: number): void;
  closed(watch: EtcdWatch): void;
}

type Stream = ClientDuplexStream<WireWatch, WatchResponse>;

/** A stream that ended so may be opened again, here or elsewhere. */
const lostCodes: ReadonlySet<Code> = new Set([
  Code.unavailable,
  Code.internal,
  Code.cancelled,
  Code.aborted,
]);

export class EtcdWatch implements WatchStream {
  readonly created: Promise<Revision>;
  private readonly owner: WatchOwner;
  private readonly request: WatchRequest;
  private readonly queue: BatchQueue;
  private readonly progress: Progress;
  private readonly closing = new AbortController();
  private announce: (revision: Revision) => void = () => undefined;
  private refuse: (error: StatusError) => void = () => undefined;
  /** The first revision not yet queued; undefined until it is known where the watch begins. */
  private next: number | undefined;
  /** Events of a revision that is not complete yet. */
  private held: WatchEvent[] = [];
  private stream: Stream | undefined;
  /** Since when no endpoint has carried the watch. */
  private lostAt: number | undefined;

  constructor(owner: WatchOwner, request: WatchRequest) {
    this.owner = owner;
    this.request = request;
    // There is nothing at revision 1, where an empty store begins.
    this.next = request.startRevision ? Math.max(request.startRevision, 2) : undefined;
    this.created = new Promise((resolve, reject) => {
      this.announce = resolve;
      this.refuse = reject;
    });
    // The iteration reports the error too, so that a caller may ignore `created`.
    this.created.catch(() => undefined);
    this.queue = new BatchQueue({
      pause: () => this.stream?.pause(),
      resume: () => {
        this.stream?.resume();
        this.progress.ask();
      },
      closed: () => this.close(),
    });
    this.progress = new Progress({
      delivered: () => (this.next === undefined ? undefined : this.next - 1),
      send: () => {
        if (this.queue.paused || this.lostAt !== undefined) return;
        this.stream?.write({ requestUnion: { $case: "progressRequest", value: {} } });
      },
    });
    this.lostAt = performance.now();
    void this.run();
  }

  /** The store is known to be at the revision: a watch with progress has to hear of it. */
  nudge(revision: number, soon: boolean): void {
    if (this.request.progress === true) this.progress.want(revision, soon);
  }

  close(): void {
    this.finish(undefined);
  }

  fail(error: StatusError): void {
    this.finish(error);
  }

  [Symbol.asyncIterator](): AsyncIterator<WatchBatch, undefined> {
    return this.queue.iterator();
  }

  private finish(error: StatusError | undefined): void {
    if (this.closing.signal.aborted) return;
    this.closing.abort();
    this.progress.stop();
    this.stream?.cancel();
    this.refuse(error ?? new StatusError(Code.cancelled, "the watch has been closed"));
    this.queue.end(error);
    this.owner.closed(this);
  }

  /** Keeps the watch on some endpoint until it is closed. Never throws. */
  private async run(): Promise<void> {
    const { endpoints } = this.owner;
    const { watchRetryMinMillis, watchRetryMaxMillis, watchLostMillis } = externalLimits;
    let delay: number = watchRetryMinMillis;
    while (!this.closing.signal.aborted) {
      const endpoint = endpoints.current;
      try {
        await this.follow(endpoint);
      } catch (thrown) {
        if (this.closing.signal.aborted) return;
        const error = failureOf(thrown);
        if (!lostCodes.has(error.code)) return this.fail(error);
        endpoints.leave(endpoint, error);
        const now = performance.now();
        if (this.lostAt === undefined) delay = watchRetryMinMillis;
        this.lostAt ??= now;
        if (now - this.lostAt > watchLostMillis) {
          return this.fail(storeErrors.timedOutConnectionLost());
        }
      }
      await pause(delay, this.closing.signal);
      delay = Math.min(delay * 2, watchRetryMaxMillis);
    }
  }

  /** One stream; rejects with the reason of its end. */
  private follow(endpoint: Endpoint): Promise<never> {
    return new Promise((_, reject) => {
      this.held = [];
      const stream = endpoint.watch.watch(needsLeader());
      const end = (reason: unknown) => {
        if (this.stream === stream) this.stream = undefined;
        reject(reason);
        stream.cancel();
      };
      stream.on("data", (response: WatchResponse) => {
        if (this.stream !== stream) return;
        try {
          this.take(response);
        } catch (thrown) {
          end(thrown);
        }
      });
      stream.on("error", end);
      stream.on("end", () => end(storeErrors.stopped()));
      this.stream = stream;
      stream.write(wireWatchRequest(this.request, this.next));
      if (this.queue.paused) stream.pause();
    });
  }

  /** Throws what ends the stream. */
  private take(response: WatchResponse): void {
    const revision = revisionIn(response.header);
    if (response.canceled === true) throw this.cancelled(response);
    if (response.created === true) {
      this.next ??= revision + 1;
      this.lostAt = undefined;
      this.announce(revision);
      this.progress.restart();
    } else if ((response.events ?? []).length > 0) {
      this.takeEvents(response);
    } else if (this.held.length === 0) {
      this.progress.answered();
      this.tell(revision);
    }
    this.owner.observed(revision);
  }

  private cancelled({ compactRevision, cancelReason }: WatchResponse): StatusError {
    if (compactRevision !== undefined && compactRevision > 0n) {
      this.owner.compacted(Number(compactRevision));
      return storeErrors.compacted();
    }
    if (cancelReason?.includes("no leader") === true) return storeErrors.noLeader();
    return new StatusError(Code.unknown, cancelReason || "etcdserver: the watch was cancelled");
  }

  private takeEvents(response: WatchResponse): void {
    const { next } = this;
    if (next === undefined) throw unexpectedAnswer("events of a watch that is not created");
    const events = this.held;
    for (const wire of response.events ?? []) {
      const event = eventOf(wire);
      if (event.kv.modRevision >= next) events.push(event);
    }
    this.held = [];
    const last = events.at(-1)?.kv.modRevision;
    if (last === undefined) return;
    if (response.fragment !== true) {
      this.queueBatch(events, last);
      return;
    }
    // The last revision goes on in the next response, and may not be split.
    const cut = events.findIndex(({ kv }) => kv.modRevision === last);
    this.held = events.slice(cut);
    const before = events[cut - 1]?.kv.modRevision;
    if (before !== undefined) this.queueBatch(events.slice(0, cut), before);
  }

  /** Everything up to the revision has been queued. */
  private tell(revision: Revision): void {
    if (this.next === undefined || revision < this.next) return;
    if (this.request.progress === true) this.queueBatch([], revision);
    else this.next = revision + 1;
  }

  private queueBatch(events: readonly WatchEvent[], revision: Revision): void {
    this.next = revision + 1;
    this.queue.push({ events, revision });
    this.progress.advanced();
  }
}

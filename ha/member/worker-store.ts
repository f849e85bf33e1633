/** A member on its own thread, as a {@link Store} for the main thread. */
import { Worker } from "node:worker_threads";
import type { LogLevel, ProductionRuntimeOptions } from "../runtime/production/mod.ts";
import { RingTable } from "../runtime/ring-table.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Span } from "../runtime/trace.ts";
import type { Log } from "../runtime/types.ts";
import {
  checkTxn,
  defaultStoreLimits,
  type LeaseId,
  type LeaseStatus,
  type MemberStatus,
  type RangeRequest,
  type RangeResponse,
  type Revision,
  type Store,
  type TxnRequest,
  type TxnResponse,
  type WatchBatch,
  type WatchRequest,
  type WatchStream,
  type WriteOptions,
} from "../store/mod.ts";
import type { LimitOverrides } from "./limits.ts";
import type { NamedMember } from "./meeting.ts";
import {
  type Call,
  exact,
  exactRange,
  type FromMember,
  fromRemote,
  memberSpan,
  type PackedTxn,
  snapshotCreditPieces,
  type Timing,
  type ToMember,
  unpackBatch,
  unpackRange,
  unpackTxn,
  watchCreditBatches,
} from "./remote.ts";
import { type CreditMessage, RemoteStream } from "./remote-stream.ts";
import type { ThreadService } from "./thread-service.ts";
import type { MemberOptions } from "./types.ts";
import { type WorkerAdmin, workerAdmin } from "./worker-admin.ts";

export interface WorkerMemberOptions {
  readonly name: string;
  /** The LevelDB of the member. */
  readonly dataDirectory: string;
  /** Where peers connect. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Ed25519 private key; made at first start. */
  readonly keyFile: string;
  /** Peers that are told so too get messages unencrypted; `listen` is on loopback. */
  readonly plaintextPeers?: boolean | undefined;
  /**
   * `new`: every founding member, this one included. `existing`: whom to ask. Only looked at when
   * the data directory is empty.
   */
  readonly cluster: readonly NamedMember[];
  /** Under which members without an identity in `cluster` introduce themselves. */
  readonly clusterToken?: string | undefined;
  /** host:port under which the others reach this member, as they name it. Default: `listen`. */
  readonly peerAddress?: string | undefined;
  readonly initialClusterState?: "new" | "existing" | undefined;
  readonly clientAddresses?: readonly string[] | undefined;
  readonly apiAddresses?: readonly string[] | undefined;
  readonly quotaBytes?: number | undefined;
  readonly limits?: LimitOverrides | undefined;
  readonly logLevel?: LogLevel | "silent" | undefined;
  /**
   * Megabytes of young objects of the member's thread, at most; default: V8's own. What the thread
   * allocates lies outside of V8's heap for the most part, and is given back when young objects are
   * collected. With values of some kilobytes that comes so seldom that 64 MB have gathered before,
   * for which V8 collects the whole heap each time; with small ones it costs more than it saves.
   */
  readonly youngMegabytes?: number | undefined;
  /** Faults can be set on purpose; `clockJumped` is told by how much the wall time is to be off. */
  readonly faults?: { clockJumped(offsetMillis: number): void } | undefined;
  readonly log: Log;
}

export interface ThreadData {
  readonly runtime: ProductionRuntimeOptions;
  readonly member: Omit<MemberOptions, "id" | "identity" | "identify" | "cluster">;
  readonly cluster: readonly NamedMember[];
}

/** A member on its thread. */
export interface WorkerMember extends Store {
  readonly admin: WorkerAdmin;
  /** Resolves when the member has been removed from the cluster and has left it. */
  readonly excluded: Promise<StatusError>;
  /** Runs the `serve` of a module (its URL) in the member's thread (`thread-service.ts`). */
  serve(module: string, options: unknown): Promise<ThreadService>;
}

/** Resolves when the member has loaded and listens; rejects with what is wrong. */
export async function openMemberWorker(options: WorkerMemberOptions): Promise<WorkerMember> {
  const { name, initialClusterState, clientAddresses, quotaBytes, limits, logLevel } = options;
  const { clusterToken = "", apiAddresses, youngMegabytes } = options;
  const { host, port } = options.listen;
  const unknown = options.cluster.find(({ identity }) => identity === undefined);
  if (unknown && !clusterToken) {
    const text = `the initial cluster names ${unknown.name} without a peer id: that needs a token`;
    throw new StatusError(Code.invalidArgument, text);
  }
  const data: ThreadData = {
    runtime: {
      dataDirectory: options.dataDirectory,
      listen: options.listen,
      identityFile: options.keyFile,
      plaintextPeers: options.plaintextPeers,
      enableFaults: options.faults !== undefined,
      ...(clusterToken && {
        introductions: {
          token: clusterToken,
          name,
          addresses: [options.peerAddress ?? `${host}:${port}`],
          open: unknown !== undefined,
        },
      }),
      logFields: { component: "member", member: name, pid: process.pid },
      ...(logLevel && { log: { level: logLevel } }),
    },
    member: {
      name,
      initialClusterState,
      clusterToken,
      clientAddresses,
      apiAddresses,
      quotaBytes,
      ...(limits && { limits }),
    },
    cluster: options.cluster,
  };
  const worker = new Worker(new URL("./thread-start.ts", import.meta.url), {
    name: "store",
    workerData: data,
    ...(youngMegabytes && { resourceLimits: { maxYoungGenerationSizeMb: youngMegabytes } }),
  });
  const store = new WorkerStore(worker, (millis) => options.faults?.clockJumped(millis));
  await store.started;
  worker.on("error", (error) => {
    // A member that found itself impossible ends the process: an orderly restart is safe.
    options.log.error("the member's thread died", { error });
    throw error;
  });
  return store;
}

interface Waiting {
  readonly id: number;
  readonly resolve: (value: never) => void;
  readonly reject: (error: StatusError) => void;
  /** Of a call whose times are wanted. */
  readonly span: Span | undefined;
}

class WorkerStore implements WorkerMember {
  readonly #worker: Worker;
  readonly #calls = new RingTable<Waiting>();
  readonly #watches = new Map<number, RemoteWatch>();
  readonly #listeners = new Set<(status: MemberStatus) => void>();
  #status: MemberStatus | undefined;
  #outgoing: ToMember[] = [];
  #id = 0;
  #gone: StatusError | undefined;
  #closing: Promise<void> | undefined;
  readonly admin: WorkerAdmin;
  readonly #snapshots = new Map<number, RemoteStream<Uint8Array>>();
  readonly #excluded = Promise.withResolvers<StatusError>();
  readonly excluded = this.#excluded.promise;
  /** The thread has said its first word, or died before. */
  readonly started: Promise<void>;

  readonly #clockJumped: (offsetMillis: number) => void;

  constructor(worker: Worker, clockJumped: (offsetMillis: number) => void) {
    this.#worker = worker;
    this.#clockJumped = clockJumped;
    this.admin = workerAdmin(
      (method, parameters) => this.#call({ method, admin: parameters }),
      (since) => this.#snapshot(since),
    );
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.started = promise;
    worker.on("message", (messages: readonly FromMember[]) => {
      for (const message of messages) this.#hear(message);
      resolve();
    });
    worker.on("error", (error) => {
      const failure = StatusError.from(error);
      this.#end(new StatusError(Code.unavailable, failure.message));
      reject(failure);
    });
    worker.on("exit", () => {
      this.#end(new StatusError(Code.unavailable, "etcdserver: server stopped"));
      reject(new StatusError(Code.unavailable, "the member's thread ended"));
    });
  }

  async range(
    request: RangeRequest,
    options: { readonly serializable?: boolean; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<RangeResponse> {
    const { serializable = false, signal } = options;
    const call = { method: "range", request: exactRange(request), serializable } as const;
    return unpackRange(await this.#call<Uint8Array>(call, signal));
  }

  async txn(request: TxnRequest, options: WriteOptions = {}): Promise<TxnResponse> {
    const { requestId, signal, span } = options;
    const txn = exact(checkTxn(request, defaultStoreLimits));
    return unpackTxn(await this.#call<PackedTxn>({ method: "txn", txn, requestId }, signal, span));
  }

  async recall(requestId: string): Promise<TxnResponse | undefined> {
    const packed = await this.#call<PackedTxn | undefined>({ method: "recall", requestId });
    return packed && unpackTxn(packed);
  }

  readRevision(): Promise<Revision> {
    return this.#call({ method: "readRevision" });
  }

  compact(revision: Revision): Promise<Revision> {
    return this.#call({ method: "compact", revision });
  }

  leaseGrant(lease: LeaseId, seconds: number): Promise<{ id: LeaseId; seconds: number }> {
    return this.#call({ method: "leaseGrant", lease, seconds });
  }

  leaseRevoke(lease: LeaseId): Promise<Revision> {
    return this.#call({ method: "leaseRevoke", lease });
  }

  leaseKeepAlive(lease: LeaseId): Promise<number> {
    return this.#call({ method: "leaseKeepAlive", lease });
  }

  leaseTimeToLive(lease: LeaseId): Promise<LeaseStatus> {
    return this.#call({ method: "leaseTimeToLive", lease });
  }

  leases(): Promise<readonly LeaseId[]> {
    return this.#call({ method: "leases" });
  }

  status(): Promise<MemberStatus> {
    return this.#call({ method: "status" });
  }

  async serve(module: string, options: unknown): Promise<ThreadService> {
    type Started = { readonly service: number; readonly port: number };
    const { service, port } = await this.#call<Started>({ method: "serve", module, options });
    return { port, close: () => this.#call({ method: "stopServing", service }) };
  }

  watch(request: WatchRequest): WatchStream {
    const id = ++this.#id;
    const watch = new RemoteWatch(
      (message) => this.#say({ ...message, id } as ToMember),
      () => this.#watches.delete(id),
    );
    if (this.#gone) {
      watch.end(this.#gone);
      return watch;
    }
    this.#watches.set(id, watch);
    this.#say({ kind: "watch", id, request: exactRange(request) });
    return watch;
  }

  #snapshot(since: Revision | undefined): RemoteStream<Uint8Array> {
    const id = ++this.#id;
    const stream = new RemoteStream<Uint8Array>(
      snapshotCreditPieces / 2,
      (message) => this.#say({ ...message, id } as ToMember),
      () => this.#snapshots.delete(id),
    );
    if (this.#gone) {
      stream.end(this.#gone);
      return stream;
    }
    this.#snapshots.set(id, stream);
    this.#say({ kind: "snapshot", id, since });
    return stream;
  }

  onStatus(listener: (status: MemberStatus) => void): () => void {
    this.#listeners.add(listener);
    if (this.#status) listener(this.#status);
    return () => this.#listeners.delete(listener);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (!this.#gone) await this.#call({ method: "close" });
    await this.#worker.terminate();
  }

  #call<T>(call: Call, signal?: AbortSignal, span?: Span): Promise<T> {
    if (this.#gone) return Promise.reject(this.#gone);
    const id = ++this.#id;
    const called = new Promise<T>((resolve, reject) => {
      this.#calls.add({ id, resolve: resolve as (value: never) => void, reject, span });
    });
    this.#say(span ? { kind: "call", id, call, timed: true } : { kind: "call", id, call });
    return signal ? this.#abortable(id, called, signal) : called;
  }

  /** Removes and returns the call that this answer is for; undefined when it was given up. */
  #answered(id: number): Waiting | undefined {
    const waiting = this.#calls.get(id);
    if (waiting !== undefined) this.#calls.delete(waiting);
    return waiting;
  }

  /** The member goes on with it; only the caller stops waiting. */
  async #abortable<T>(id: number, called: Promise<T>, signal: AbortSignal): Promise<T> {
    const abort = () => {
      this.#answered(id)?.reject(new StatusError(Code.cancelled, "the caller has gone"));
    };
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    try {
      return await called;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  #say(message: ToMember): void {
    this.#outgoing.push(message);
    if (this.#outgoing.length > 1) return;
    setImmediate(() => {
      const batch = this.#outgoing;
      this.#outgoing = [];
      if (!this.#gone) this.#worker.postMessage(batch);
    });
  }

  #hear(message: FromMember): void {
    switch (message.kind) {
      case "result":
        this.#answered(message.id)?.resolve(message.value as never);
        return;
      case "error":
        this.#answered(message.id)?.reject(fromRemote(message.error));
        return;
      case "timing":
        this.#timed(message.id, message.timing);
        return;
      case "created":
        this.#watches.get(message.id)?.begun(message.revision);
        return;
      case "batch":
        this.#watches.get(message.id)?.push(unpackBatch(message.batch));
        return;
      case "end":
        this.#watches.get(message.id)?.end(message.error && fromRemote(message.error));
        this.#snapshots.get(message.id)?.end(message.error && fromRemote(message.error));
        return;
      case "piece":
        this.#snapshots.get(message.id)?.push(message.piece);
        return;
      case "status":
        this.#status = message.status;
        for (const listener of this.#listeners) listener(message.status);
        return;
      case "clockOffset":
        this.#clockJumped(message.millis);
        return;
      case "excluded":
        this.#excluded.resolve(fromRemote(message.error));
        return;
    }
  }

  #timed(id: number, timing: Timing): void {
    const span = this.#calls.get(id)?.span;
    if (span === undefined) return;
    const { name = "", role = "", term = 0 } = this.#status ?? {};
    span.record(memberSpan, timing, {
      "trireme.member": name,
      "raft.role": role,
      "raft.term": term,
    });
  }

  #end(error: StatusError): void {
    if (this.#gone) return;
    this.#gone = error;
    for (const waiting of this.#calls.values()) waiting.reject(error);
    this.#calls.clear();
    for (const watch of [...this.#watches.values()]) watch.end(error);
    for (const stream of [...this.#snapshots.values()]) stream.end(error);
  }
}

/** Credit is given back in halves of the window, so that it seldom costs a message of its own. */
const watchCreditStep = watchCreditBatches / 2;

/** The user's end of a watch in the member's thread. */
class RemoteWatch extends RemoteStream<WatchBatch> implements WatchStream {
  readonly created: Promise<Revision>;
  readonly #begun = Promise.withResolvers<Revision>();

  constructor(say: (message: CreditMessage) => void, ended: () => void) {
    super(watchCreditStep, say, ended);
    this.created = this.#begun.promise;
    // The iteration reports the error too, so that a caller may ignore `created`.
    this.created.catch(() => {});
  }

  begun(revision: Revision): void {
    this.#begun.resolve(revision);
  }

  override end(error: StatusError | undefined): void {
    super.end(error);
    this.#begun.reject(error ?? new StatusError(Code.cancelled, "the watch was closed"));
  }
}

import { type ClientTls, call } from "../../rpc/mod.ts";
import { Code, StatusError } from "../../runtime/status-error.ts";
import type { Log } from "../../runtime/types.ts";
import {
  checkLease,
  checkRange,
  checkRequestId,
  checkTxn,
  defaultStoreLimits,
  type LeaseId,
  type LeaseStatus,
  type MemberStatus,
  type RangeRequest,
  type RangeResponse,
  type Revision,
  type Store,
  storeErrors,
  type TxnRequest,
  type TxnResponse,
  type WatchRequest,
  type WatchStream,
  type WriteOptions,
} from "../../store/mod.ts";
import { bytesOf } from "../bytes.ts";
import { rangeResponseOf, revisionIn, txnResponseOf } from "./answers.ts";
import { type CallOptions, Endpoints } from "./endpoints.ts";
import { tooManyWatches } from "./failures.ts";
import { keepAliveOnce } from "./keep-alive.ts";
import { externalLimits } from "./limits.ts";
import { Monitor } from "./monitor.ts";
import { MarkerLeases, markerKey, rememberedBy, withMarker, withoutMarker } from "./request-ids.ts";
import { wireRangeRequest, wireTxnRequest } from "./requests.ts";
import { EtcdWatch } from "./watch.ts";

export interface EtcdStoreOptions {
  /** `host:port` of the cluster's members. */
  readonly endpoints: readonly string[];
  /** Absent: without TLS. */
  readonly tls?: ClientTls | undefined;
  readonly log: Log;
}

/**
 * The store as a client of an external etcd cluster (3.4.31, 3.5.13 or newer).
 *
 * It has etcd's guarantees, plus request ids (request-ids.ts): a repeated write is done once within
 * five minutes and is answered with `succeeded` and `revision`, without results. `status` is that
 * of the member in use, with 53 bits of etcd's 64-bit member ids. Rejects when no member with a
 * leader answers, when one is too old, or when the endpoints are of different clusters.
 */
export async function openEtcdStore(options: EtcdStoreOptions): Promise<Store> {
  const store = new EtcdStore(options);
  try {
    await store.start();
  } catch (thrown) {
    await store.close();
    throw thrown;
  }
  return store;
}

const read: CallOptions = { repeatable: true };
const write: CallOptions = { repeatable: false };
/** A key that stands for the cluster when only its revision is wanted. */
const anyKey = bytesOf("\0");

class EtcdStore implements Store {
  private readonly endpoints: Endpoints;
  private readonly monitor: Monitor;
  private readonly markerLeases: MarkerLeases;
  private readonly watches = new Set<EtcdWatch>();
  private compactRevision = 0;
  private revisionRound: Promise<Revision> | undefined;

  constructor({ endpoints, tls, log }: EtcdStoreOptions) {
    this.endpoints = new Endpoints(endpoints, tls, log);
    this.markerLeases = new MarkerLeases(this);
    this.monitor = new Monitor({
      endpoints: this.endpoints,
      log,
      compactRevision: () => this.compactRevision as Revision,
      observed: (revision) => this.observed(revision),
    });
  }

  start(): Promise<void> {
    return this.monitor.start();
  }

  async range(
    request: RangeRequest,
    options: { readonly serializable?: boolean; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<RangeResponse> {
    checkRange(request);
    const { serializable = false, signal } = options;
    const wire = wireRangeRequest(request, serializable);
    const answer = await this.endpoints.call(
      { repeatable: true, serializable, signal },
      (endpoint, settings) => call(endpoint.kv, "range", wire, settings),
    );
    return rangeResponseOf(answer);
  }

  async txn(request: TxnRequest, options: WriteOptions = {}): Promise<TxnResponse> {
    const { requestId, signal, span } = options;
    checkRequestId(requestId, defaultStoreLimits);
    checkTxn(request, defaultStoreLimits);
    if (requestId === undefined) return this.send(request, { repeatable: false, signal, span });
    for (let attempt = 1; ; attempt++) {
      const lease = await this.markerLeases.current();
      try {
        const marked = withMarker(request, requestId, lease);
        return withoutMarker(
          await this.send(marked, {
            repeatable: true,
            attemptMillis: externalLimits.markedCallMillis,
            ...{ signal, span },
          }),
          requestId,
        );
      } catch (thrown) {
        // Either the write's own lease is missing, or that of the markers, which is replaced once.
        const missing = StatusError.from(thrown).code === Code.notFound;
        if (!missing || attempt > 1 || !(await this.markerLeases.isGone(lease))) throw thrown;
      }
    }
  }

  private async send(request: TxnRequest, options: CallOptions): Promise<TxnResponse> {
    const wire = wireTxnRequest(request);
    const answer = await this.endpoints.call(options, (endpoint, settings) =>
      call(endpoint.kv, "txn", wire, settings),
    );
    const response = txnResponseOf(answer);
    this.observed(response.revision);
    return response;
  }

  async recall(requestId: string): Promise<TxnResponse | undefined> {
    checkRequestId(requestId, defaultStoreLimits);
    const { kvs } = await this.range({ key: markerKey(requestId) });
    return rememberedBy(kvs[0], requestId);
  }

  readRevision(): Promise<Revision> {
    this.revisionRound ??= this.readRevisionOnce();
    return this.revisionRound;
  }

  private async readRevisionOnce(): Promise<Revision> {
    // The round begins when all calls of this turn are in; later ones need another.
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.revisionRound = undefined;
    const { revision } = await this.range({ key: anyKey, countOnly: true });
    for (const watch of this.watches) watch.nudge(revision, true);
    return revision;
  }

  watch(request: WatchRequest): WatchStream {
    if (this.endpoints.closed) throw storeErrors.stopped();
    const { watches: most } = externalLimits;
    if (this.watches.size >= most) throw tooManyWatches(most);
    const watch = new EtcdWatch(
      {
        endpoints: this.endpoints,
        observed: (revision) => this.observed(revision),
        compacted: (revision) => this.compacted(revision),
        closed: (each) => this.watches.delete(each),
      },
      request,
    );
    this.watches.add(watch);
    return watch;
  }

  private observed(revision: number): void {
    for (const watch of this.watches) watch.nudge(revision, false);
  }

  private compacted(revision: number): void {
    this.compactRevision = Math.max(this.compactRevision, revision);
  }

  async compact(revision: Revision): Promise<Revision> {
    if (!Number.isSafeInteger(revision) || revision < 0) {
      throw storeErrors.invalid("revision", revision, "an integer in 0..2^53-1");
    }
    const request = { revision: BigInt(revision) };
    // Not repeatable: a second one would be told that the first had been there.
    const { header } = await this.endpoints.call(write, (endpoint, settings) =>
      call(endpoint.kv, "compact", request, settings),
    );
    this.compacted(revision);
    return revisionIn(header);
  }

  async leaseGrant(id: LeaseId, seconds: number): Promise<{ id: LeaseId; seconds: number }> {
    checkLease("id", id);
    if (!Number.isSafeInteger(seconds) || seconds < 0) {
      throw storeErrors.invalid("seconds", seconds, "an integer in 0..2^53-1");
    }
    // etcd takes no less; we grant the shortest then, as our own store does.
    const request = { ID: id, TTL: BigInt(Math.max(seconds, defaultStoreLimits.minLeaseSeconds)) };
    const { ID, TTL } = await this.endpoints.call(write, (endpoint, settings) =>
      call(endpoint.lease, "leaseGrant", request, settings),
    );
    return { id: ID ?? 0n, seconds: Number(TTL ?? 0n) };
  }

  async leaseRevoke(id: LeaseId): Promise<Revision> {
    checkLease("id", id);
    const { header } = await this.endpoints.call(write, (endpoint, settings) =>
      call(endpoint.lease, "leaseRevoke", { ID: id }, settings),
    );
    this.observed(revisionIn(header));
    return revisionIn(header);
  }

  async leaseKeepAlive(id: LeaseId): Promise<number> {
    checkLease("id", id);
    const answer = await this.endpoints.call(read, (endpoint, settings) =>
      keepAliveOnce(endpoint.lease, id, settings),
    );
    const seconds = Number(answer.TTL ?? 0n);
    if (seconds <= 0) throw storeErrors.leaseNotFound();
    return seconds;
  }

  async leaseTimeToLive(id: LeaseId): Promise<LeaseStatus> {
    checkLease("id", id);
    const { TTL, grantedTTL, keys } = await this.endpoints.call(read, (endpoint, settings) =>
      call(endpoint.lease, "leaseTimeToLive", { ID: id, keys: true }, settings),
    );
    return {
      id,
      grantedSeconds: Number(grantedTTL ?? 0n),
      remainingSeconds: Number(TTL ?? 0n),
      // etcd tells them in any order.
      keys: (keys ?? []).sort(Buffer.compare),
    };
  }

  async leases(): Promise<readonly LeaseId[]> {
    const { leases } = await this.endpoints.call(read, (endpoint, settings) =>
      call(endpoint.lease, "leaseLeases", {}, settings),
    );
    return (leases ?? []).map(({ ID }) => ID ?? 0n);
  }

  async status(): Promise<MemberStatus> {
    const everything = { key: anyKey, rangeEnd: anyKey, countOnly: true };
    const { count } = await this.range(everything, { serializable: true });
    return this.monitor.status(count);
  }

  onStatus(listener: (status: MemberStatus) => void): () => void {
    return this.monitor.onStatus(listener);
  }

  close(): Promise<void> {
    for (const watch of [...this.watches]) watch.fail(storeErrors.stopped());
    this.endpoints.close();
    return Promise.resolve();
  }
}

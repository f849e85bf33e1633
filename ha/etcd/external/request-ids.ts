/**
 * Request ids on a store that knows none. A write with an id also puts a marker key that says how
 * it ended, in the same txn, which is carried out only if the marker does not exist yet:
 *
 *   if version(marker) = 0
 *   then  txn { the write's compares; its operations and the marker, in either branch }
 *   else  get marker
 *
 * So a repeat, on whatever member, does nothing and learns whether the write had succeeded and at
 * which revision; what its operations had answered is not remembered. Markers hang on leases that
 * are shared by the writes of a minute and end five minutes after it. Beyond our own store this
 * costs one key a write, and one operation of the txn's limit.
 */
import type { Revision, Store, TxnRequest, TxnResponse } from "../../store/mod.ts";
import { requestIdReused, sameRequest, splitRequestId } from "../../store/request-id.ts";
import type { KeyValue, LeaseId, Operation, OperationResult } from "../../store/types.ts";
import { bytesOf } from "../bytes.ts";
import { unexpectedAnswer } from "./failures.ts";
import { externalLimits } from "./limits.ts";

/** Beside the keys that Trireme's own etcd face reserves, which refuses writes to those. */
const markerPrefix = "\0trireme-requests/";
const did = bytesOf("succeeded");
const didNot = bytesOf("failed");

export function markerKey(requestId: string): Buffer {
  const { id } = splitRequestId(requestId);
  return Buffer.concat([bytesOf(markerPrefix), Buffer.from(id, "utf8")]);
}

/** How the write ended, and behind a space the digest of the request, if it has one. */
function markerValue(ending: Buffer, requestId: string): Buffer {
  const { digest } = splitRequestId(requestId);
  return digest === "" ? ending : Buffer.concat([ending, bytesOf(` ${digest}`)]);
}

export function withMarker(request: TxnRequest, requestId: string, lease: LeaseId): TxnRequest {
  const key = markerKey(requestId);
  const marked = (operations: readonly Operation[], value: Uint8Array): Operation[] => [
    ...operations,
    { op: "put", key, value, lease },
  ];
  return {
    compares: [{ key, target: "version", operator: "=", operand: 0 }],
    success: [
      {
        op: "txn",
        compares: request.compares,
        success: marked(request.success, markerValue(did, requestId)),
        failure: marked(request.failure, markerValue(didNot, requestId)),
      },
    ],
    failure: [{ op: "range", key }],
  };
}

/** The answer of the write, taken from the answer of the txn around it. */
export function withoutMarker(answer: TxnResponse, requestId: string): TxnResponse {
  const [result] = answer.results;
  if (answer.succeeded && result?.op === "txn") {
    const { succeeded, results } = result;
    return { succeeded, revision: answer.revision, results: results.slice(0, -1) };
  }
  const remembered = result?.op === "range" ? rememberedBy(result.kvs[0], requestId) : undefined;
  if (remembered === undefined) throw unexpectedAnswer("a request id has no marker");
  return remembered;
}

/** What the marker says of its write. Throws failedPrecondition when that was another request's. */
export function rememberedBy(
  marker: KeyValue | undefined,
  requestId: string,
): TxnResponse | undefined {
  if (marker === undefined) return undefined;
  const results: readonly OperationResult[] = [];
  const { id: ending, digest: remembered } = splitRequestId(Buffer.from(marker.value).toString());
  const { id, digest } = splitRequestId(requestId);
  if (!sameRequest(remembered, digest)) throw requestIdReused(id);
  const succeeded = ending === did.toString();
  return { succeeded, revision: marker.modRevision as Revision, results, replayed: true };
}

type LeaseCalls = Pick<Store, "leaseGrant" | "leaseTimeToLive">;

/** The leases of the markers. They end by themselves: closing the store forgets nothing. */
export class MarkerLeases {
  private readonly store: LeaseCalls;
  private granted: Promise<LeaseId> | undefined;
  private usableUntil = 0;

  constructor(store: LeaseCalls) {
    this.store = store;
  }

  /** One that lives long enough for a marker put now. */
  current(): Promise<LeaseId> {
    if (this.granted !== undefined && performance.now() < this.usableUntil) return this.granted;
    const { sessionSeconds, sessionLeaseRotateSeconds } = externalLimits;
    this.usableUntil = performance.now() + sessionLeaseRotateSeconds * 1000;
    const granted = this.store
      .leaseGrant(0n, sessionSeconds + sessionLeaseRotateSeconds)
      .then(({ id }) => id);
    this.granted = granted;
    granted.catch(() => this.forget(granted));
    return granted;
  }

  /** True: the lease is gone, as another client has revoked it; the next call makes a new one. */
  async isGone(lease: LeaseId): Promise<boolean> {
    const { granted } = this;
    if ((await this.store.leaseTimeToLive(lease)).remainingSeconds >= 0) return false;
    if (granted !== undefined && (await granted.catch(() => undefined)) === lease) {
      this.forget(granted);
    }
    return true;
  }

  private forget(granted: Promise<LeaseId>): void {
    if (this.granted === granted) this.granted = undefined;
  }
}

/**
 * Leader election over Lease objects, with a fencing token (Kubernetes leader election, plus the
 * token of Kleppmann, "How to do distributed locking").
 *
 * A lease alone does not stop a paused leader from writing after it lost the lease. Every change of
 * a Lease's holder therefore bumps a fence key in the same store transaction. The token names the
 * lease and the resourceVersion of the write that took it; a guarded write carries it as metadata
 * `trireme-fence: <namespace>/<lease>=<resourceVersion>`, and the store's transaction refuses the
 * write when the fence has moved on.
 */
import type { Lease } from "../../proto/gen/coordination.ts";
import type { Log } from "../runtime/types.ts";

export interface FencingToken {
  /** `namespace/name` of the Lease. */
  readonly lease: string;
  /** resourceVersion of the write by which leadership was taken. */
  readonly token: string;
}

/** The little of the Lease API that an election needs; handed in by the caller. */
export interface LeaseClient {
  /** Undefined: there is none. */
  get(namespace: string, name: string): Promise<Lease | undefined>;
  create(lease: Lease): Promise<Lease>;
  /** Fails with StatusError `aborted` when resourceVersion is not the stored one. */
  update(lease: Lease): Promise<Lease>;
}

/** Durations as client-go names them; `leaseMillis > renewDeadlineMillis > retryMillis × 1.2`. */
export interface ElectionOptions {
  readonly client: LeaseClient;
  readonly log: Log;
  readonly namespace: string;
  readonly name: string;
  /** Unique among candidates, e.g. host name and process id. */
  readonly identity: string;
  readonly leaseMillis: number;
  readonly renewDeadlineMillis: number;
  readonly retryMillis: number;
  /**
   * Called when leadership is taken; the signal aborts when it is lost. When the returned promise
   * ends, leadership is given up.
   */
  readonly lead: (token: FencingToken, signal: AbortSignal) => Promise<void>;
  /** Called when the candidate sees that another one leads. */
  readonly observed?: (holder: string) => void;
  /**
   * Called with true when leadership is near: before `lead`, when the Lease is free, or when its
   * holder is late to renew it. Called with false when another one holds it after all. False at
   * first; a leader is told true.
   */
  readonly prospect?: (near: boolean) => void;
}

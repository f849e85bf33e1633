import type { Tracer } from "../../../ha/runtime/trace.ts";
import type { Clock, Log } from "../../../ha/runtime/types.ts";
import type { Store } from "../../../ha/store/types.ts";
import type { NodeStats } from "../../../proto/gen/kubelet.ts";
import type { Registry } from "../../kinds/mod.ts";
import type { AdmissionChain } from "../admission/chain.ts";
import type { Auditor } from "../audit/auditor.ts";
import type { Authorizer } from "../auth/authorize.ts";
import type { TokenAuthenticator } from "../auth/bearer.ts";
import type { RbacPolicy } from "../auth/rbac/policy.ts";
import type { ServiceAccountTokens } from "../auth/service-accounts/tokens.ts";
import type { Encryption } from "../storage/encryption/encryption.ts";
import type { WatchCache } from "../storage/watch-cache.ts";
import type { FlowControl } from "./flow-control.ts";
import type { RequestMetrics } from "./request-metrics.ts";
import type { TimeToLive } from "./time-to-live.ts";
import type { VirtualKinds } from "./virtual-kind.ts";

/** What every verb stands on. */
export interface Backend {
  /** This master, e.g. `master-0`. */
  readonly name: string;
  /** The resources served now. */
  readonly registry: Registry;
  readonly store: Store;
  readonly cache: WatchCache;
  readonly authorizers: readonly Authorizer[];
  /** The roles and bindings, for rights that are granted on. */
  readonly policy: RbacPolicy;
  readonly admission: AdmissionChain;
  /** The kinds of bearer tokens that are known, and the audiences that stand for this API. */
  readonly tokens: {
    readonly kinds: readonly TokenAuthenticator[];
    readonly audiences: readonly string[];
  };
  /** Absent: service accounts have no tokens here. */
  readonly serviceAccountTokens: ServiceAccountTokens | undefined;
  /** Answers for the resources that are not stored. */
  readonly virtual: VirtualKinds;
  /** What the kubelets say their pods use. */
  readonly usage: {
    /** Undefined: the kubelet does not answer, or has not measured yet. Never throws. */
    of(node: string): Promise<NodeStats | undefined>;
  };
  readonly flowControl: FlowControl;
  /** Absent: objects are stored as they are. */
  readonly encryption: Encryption | undefined;
  /** Absent: there is no audit log. */
  readonly audit: Auditor | undefined;
  readonly requests: RequestMetrics;
  /** Absent: requests are not traced. */
  readonly tracer?: Tracer | undefined;
  readonly timeToLive: TimeToLive;
  /** From which services get their addresses, e.g. `127.32.0.0/12`; at most one of a family. */
  readonly serviceRanges: readonly string[];
  readonly requestTimeoutMillis: number;
  readonly log: Log;
  /** Drives the time limits of requests and watches. */
  readonly clock: Clock;
  /**
   * Resolves when every custom resource that was established before the call is registered here:
   * for requests of a resource that is not. With a time it resolves then at the latest, whatever is
   * missing.
   */
  catchUp(withinMillis?: number): Promise<void>;
  /** Unix milliseconds. */
  now(): number;
  /** Uniform integer in 0..limit-1. */
  random(limit: number): number;
  newUid(): string;
}

import { type CallContext, type RpcServer, serverStream, unary } from "../../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import type { Revision, Store, MemberStatus as StoreStatus } from "../../../../ha/store/types.ts";
import {
  ClusterService,
  type MemberStatus,
  type PodsOverview,
  type PodsRequest,
  type SnapshotPiece,
  type SnapshotRequest,
  type StatusRequest,
} from "../../../../proto/gen/cluster.ts";
import type { Auditor } from "../../audit/auditor.ts";
import { type Authenticator, authenticate } from "../../auth/authenticate.ts";
import type { Authorizer } from "../../auth/authorize.ts";
import { badRequest, tooManyRequests } from "../../errors.ts";
import { limits } from "../../limits.ts";
import type { PodOverview } from "../../nodes/pod-overview.ts";
import { pathInfo } from "../../request-info.ts";
import { authorizePath, credentialsOf } from "./call.ts";
import type { Face } from "./face.ts";

/** What of a face this service needs. */
interface ClusterFace extends Pick<Face, "snapshot" | "stopping"> {
  /** Undefined: plaintext on loopback, where no caller has an identity. */
  readonly authenticators: readonly Authenticator[] | undefined;
  readonly backend: {
    readonly store: Pick<Store, "status" | "onStatus">;
    readonly authorizers: readonly Authorizer[];
    readonly audit?: Auditor | undefined;
  };
}

/**
 * How this master sees the cluster; the balancer steers by it (proto/cluster.proto). Without `pods`
 * it has no overview of them to give.
 */
export function addClusterService(
  server: RpcServer,
  face: ClusterFace,
  readiness: Readiness,
  pods?: PodOverview,
): void {
  const { authenticators, backend } = face;
  const enter = (context: CallContext, path: string) => {
    const user = authenticate(authenticators ?? [], credentialsOf(context));
    authorizePath(backend, context, pathInfo(user, path));
  };
  // Without TLS no caller has an identity; the status tells nothing that is worth hiding.
  const enterStatus = (context: CallContext) => {
    if (authenticators !== undefined) enter(context, "/cluster/status");
  };
  server.addService(ClusterService, {
    status: unary<StatusRequest, MemberStatus>(async (_request, context) => {
      enterStatus(context);
      return statusMessage(await face.backend.store.status(), readiness.ready);
    }),
    watchStatus: serverStream<StatusRequest, MemberStatus>((_request, context) => {
      enterStatus(context);
      return statuses(face, readiness, context);
    }),
    pods: unary<PodsRequest, PodsOverview>(async ({ limit = 0 }, context) => {
      enter(context, "/cluster/pods");
      if (pods === undefined) {
        throw new StatusError(Code.unimplemented, "this member serves the store alone");
      }
      const most = limits.overviewPods;
      if (limit > most) throw badRequest(`limit: ${limit}, at most ${most} pods are named`);
      return pods.first(limit);
    }),
    snapshot: serverStream<SnapshotRequest, SnapshotPiece>((request, context) => {
      enter(context, "/cluster/snapshot");
      return snapshotPieces(face, request.sinceRevision);
    }),
  });
}

async function* snapshotPieces(
  face: ClusterFace,
  sinceRevision: number | undefined,
): AsyncGenerator<SnapshotPiece, void> {
  if (face.snapshot === undefined) {
    throw new StatusError(Code.unimplemented, "this master's store gives no backups");
  }
  const since = sinceRevision ? (sinceRevision as Revision) : undefined;
  for await (const piece of face.snapshot(since)) {
    yield { data: Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength) };
  }
}

/**
 * Whether this master serves: a leader is known, its replica works, the cache is filled, and it is
 * not stopping.
 */
export class Readiness {
  readonly #listeners = new Set<() => void>();
  #leaderKnown = false;
  #storeFailure: string | undefined;
  #cacheFilled = false;
  #stopping = false;

  get ready(): boolean {
    return (
      this.#leaderKnown && this.#storeFailure === undefined && this.#cacheFilled && !this.#stopping
    );
  }

  get filled(): boolean {
    return this.#cacheFilled;
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** Why this master's replica serves no callers; undefined: it does. */
  get storeFailure(): string | undefined {
    return this.#storeFailure;
  }

  storeChanged({ leader, failure }: Pick<StoreStatus, "leader" | "failure">): void {
    this.#change(() => {
      this.#leaderKnown = leader !== undefined;
      this.#storeFailure = failure;
    });
  }

  cacheFilled(): void {
    this.#change(() => {
      this.#cacheFilled = true;
    });
  }

  stop(): void {
    this.#change(() => {
      this.#stopping = true;
    });
  }

  get watchers(): number {
    return this.#listeners.size;
  }

  /** Called after every change; returns its own undoing. */
  onChange(listener: () => void): () => void {
    const entry = () => listener();
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  #change(apply: () => void): void {
    const before = this.ready;
    apply();
    if (this.ready !== before) for (const listener of [...this.#listeners]) listener();
  }
}

async function* statuses(
  face: ClusterFace,
  readiness: Readiness,
  context: CallContext,
): AsyncGenerator<MemberStatus, void> {
  const { signal } = context;
  if (readiness.watchers >= limits.statusWatchers) {
    throw tooManyRequests(
      `Too many status watches: ${limits.statusWatchers} are under way`,
      limits.retryAfterSeconds,
    );
  }
  // Only the newest state matters, so a slow reader needs no queue: what it missed is over.
  let changed = true;
  let wake = () => {};
  const notice = () => {
    changed = true;
    wake();
  };
  let status: StoreStatus | undefined;
  const undoStatus = face.backend.store.onStatus((next) => {
    status = next;
    notice();
  });
  const undoReadiness = readiness.onChange(notice);
  signal.addEventListener("abort", notice, { once: true });
  face.stopping.addEventListener("abort", notice, { once: true });
  try {
    context.sendHeaders();
    while (!signal.aborted) {
      if (changed) {
        changed = false;
        status ??= await face.backend.store.status();
        yield statusMessage(status, readiness.ready);
        continue;
      }
      if (face.stopping.aborted) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    undoStatus();
    undoReadiness();
    signal.removeEventListener("abort", notice);
    face.stopping.removeEventListener("abort", notice);
  }
}

function statusMessage(status: StoreStatus, ready: boolean): MemberStatus {
  const { leader } = status;
  const leaderName = status.members.find((member) => member.id === leader)?.name;
  const own = status.members.find((member) => member.id === status.id);
  return {
    id: status.id,
    name: status.name,
    cluster: status.clusterId.toString(16).padStart(16, "0"),
    role: status.role,
    ...(leader !== undefined && { leader }),
    ...(leaderName !== undefined && { leaderName }),
    term: status.term,
    revision: status.revision,
    compactRevision: status.compactRevision,
    commitIndex: status.commitIndex,
    appliedIndex: status.appliedIndex,
    diskBytes: status.diskBytes,
    keys: status.keys,
    peers: status.members
      .filter((member) => member.id !== status.id)
      .map(({ id, name, connected, learner, apiAddresses, matchIndex }) => ({
        id,
        name,
        connected,
        learner,
        ...(matchIndex !== undefined && { matchIndex }),
        addresses: [...apiAddresses],
      })),
    ready,
    addresses: [...(own?.apiAddresses ?? [])],
  };
}

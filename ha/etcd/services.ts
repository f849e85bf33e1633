/** Registers everything of etcd's API on a server. */
import { FaultsService } from "../../proto/gen/cluster.ts";
import {
  AuthService,
  ClusterService,
  KVService,
  LeaseService,
  MaintenanceService,
  WatchService,
} from "../../proto/gen/etcd.ts";
import { ElectionService } from "../../proto/gen/etcd_election.ts";
import { LockService } from "../../proto/gen/etcd_lock.ts";
import type { RpcServer } from "../rpc/mod.ts";
import type { FaultControl } from "../runtime/faults/mod.ts";
import type { Tracer } from "../runtime/trace.ts";
import type { Log } from "../runtime/types.ts";
import type { DirectStore } from "../store/mod.ts";
import { StoreAccess } from "./access.ts";
import type { StoreAdmin } from "./admin.ts";
import { authService } from "./auth-service.ts";
import { clusterService } from "./cluster-service.ts";
import { electionService } from "./election-service.ts";
import { faultsService } from "./faults-service.ts";
import type { JwtOptions } from "./jwt-options.ts";
import { JwtTokens } from "./jwt-tokens.ts";
import { kvService } from "./kv-service.ts";
import { leaseService } from "./lease-service.ts";
import { etcdLimits } from "./limits.ts";
import { lockService } from "./lock-service.ts";
import { maintenanceService } from "./maintenance-service.ts";
import { SimpleTokens } from "./tokens.ts";
import { watchService } from "./watch-service.ts";

export interface EtcdServiceOptions {
  readonly log: Log;
  /** The common name of a client certificate is an etcd user (etcd's `--client-cert-auth`). */
  readonly certificateUsers?: boolean | undefined;
  /** How often an idle watch with `progress_notify` is told how far it has come. */
  readonly progressMillis?: number | undefined;
  readonly watchesPerStream?: number | undefined;
  readonly watchResponseBytes?: number | undefined;
  /** A stream that requires a leader ends when there has been none for so long. */
  readonly leaderLossMillis?: number | undefined;
  /** Unix time in milliseconds; by it tokens expire. */
  readonly wallMillis?: (() => number) | undefined;
  /** Tokens are JSON Web Tokens (etcd's `--auth-token=jwt,…`); absent: simple ones. */
  readonly jwt?: JwtOptions | undefined;
  /** Administrators may set these; absent: there is no such service. */
  readonly faults?: FaultControl | undefined;
  /** Makes spans of the calls for keys; absent: there are none. */
  readonly tracer?: Tracer | undefined;
}

export interface EtcdServices {
  /** Stops following the store. Before the store is closed; calls must have ended. Idempotent. */
  close(): Promise<void>;
}

/** Before `server.listen`. The server should be made with `etcdLimits.messageBytes`. */
export function addEtcdServices(
  server: RpcServer,
  store: DirectStore,
  admin: StoreAdmin,
  options: EtcdServiceOptions,
): EtcdServices {
  const access = new StoreAccess(store, {
    log: options.log,
    certificateUsers: options.certificateUsers ?? false,
    leaderLossMillis: options.leaderLossMillis ?? etcdLimits.leaderLossMillis,
    wallMillis: options.wallMillis ?? Date.now,
    tracer: options.tracer,
    tokens: options.jwt === undefined ? new SimpleTokens() : new JwtTokens(options.jwt),
  });
  const watchOptions = {
    progressMillis: options.progressMillis ?? etcdLimits.progressMillis,
    maxWatches: options.watchesPerStream ?? etcdLimits.watchesPerStream,
    maxResponseBytes: options.watchResponseBytes ?? etcdLimits.watchResponseBytes,
  };
  server.addService(KVService, kvService(access));
  server.addService(WatchService, watchService(access, watchOptions));
  server.addService(LeaseService, leaseService(access));
  server.addService(ClusterService, clusterService(access, admin));
  server.addService(MaintenanceService, maintenanceService(access, admin));
  server.addService(AuthService, authService(access));
  server.addService(LockService, lockService(access));
  server.addService(ElectionService, electionService(access));
  if (options.faults) server.addService(FaultsService, faultsService(access, options.faults));
  return { close: () => access.close() };
}

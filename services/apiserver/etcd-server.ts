/** etcd's API on a port of its own, for the tools and clients of etcd. */
import {
  addEtcdServices,
  etcdLimits,
  type JwtOptions,
  type StoreAdmin,
} from "../../ha/etcd/mod.ts";
import {
  addHealth,
  addReflection,
  createRpcServer,
  HealthRegistry,
  type ServerTls,
  ServingStatus,
} from "../../ha/rpc/mod.ts";
import type { FaultControl } from "../../ha/runtime/faults/mod.ts";
import type { Tracer } from "../../ha/runtime/trace.ts";
import type { Log } from "../../ha/runtime/types.ts";
import type { DirectStore } from "../../ha/store/types.ts";
import { certificateAuthenticator } from "./auth/certificate.ts";
import { defaultAuthorizers } from "./auth/rbac/default-authorizers.ts";
import { etcdHttp } from "./etcd-http.ts";
import { addClusterService, Readiness } from "./faces/grpc/cluster.ts";
import { limits } from "./limits.ts";

export interface EtcdServerOptions {
  /** Stays the caller's to close. */
  readonly store: DirectStore & { readonly admin: StoreAdmin };
  readonly listen: { readonly host: string; readonly port: number };
  /** Absent: plaintext, for loopback only. */
  readonly tls?: ServerTls | undefined;
  /** Users' tokens are JSON Web Tokens; absent: etcd's simple ones. */
  readonly jwt?: JwtOptions | undefined;
  /** Administrators may set these; absent: no faults can be set. */
  readonly faults?: FaultControl | undefined;
  /** Makes spans of the calls for keys; absent: there are none. */
  readonly tracer?: Tracer | undefined;
  readonly log: Log;
}

export interface EtcdServer {
  readonly port: number;
  close(): Promise<void>;
}

export async function startEtcdServer(options: EtcdServerOptions): Promise<EtcdServer> {
  const { store, listen, tls, log, jwt, faults, tracer } = options;
  const http = etcdHttp(store, log);
  const server = createRpcServer({
    log,
    http1: http.handler,
    maxMessageBytes: etcdLimits.messageBytes,
    maxRequestBytes: etcdLimits.requestBytes,
    tls,
  });
  const services = addEtcdServices(server, store, store.admin, { log, jwt, faults, tracer });
  const health = new HealthRegistry();
  addHealth(server, health);
  addReflection(server);
  const stopping = new AbortController();
  const readiness = new Readiness();
  readiness.cacheFilled();
  // What a balancer in front steers by. Backups are taken through etcd's own Maintenance.
  const face = {
    backend: { store, authorizers: defaultAuthorizers() },
    authenticators: tls === undefined ? undefined : [certificateAuthenticator(new Set())],
    snapshot: undefined,
    stopping: stopping.signal,
  };
  addClusterService(server, face, readiness);
  const tellHealth = () => {
    const status = readiness.ready ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
    for (const service of ["", ...server.services]) health.set(service, status);
  };
  readiness.onChange(tellHealth);
  tellHealth();
  const undo = store.onStatus((status) => readiness.storeChanged(status));
  const { port } = await server.listen(listen);
  log.info("etcd clients are served", { ...listen, port });
  let closed: Promise<void> | undefined;
  const close = async () => {
    undo();
    http.close();
    readiness.stop();
    health.shutDown();
    stopping.abort();
    await server.drain(limits.drainMillis);
    await services.close();
  };
  return {
    port,
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}

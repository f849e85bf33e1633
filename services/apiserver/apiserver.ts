import { randomInt, randomUUID } from "node:crypto";
import {
  addHealth,
  addReflection,
  type ClientTls,
  createRpcServer,
  HealthRegistry,
  type RpcEngine,
  type RpcServer,
  type ServerTls,
  ServingStatus,
} from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import type { Store } from "../../ha/store/types.ts";
import { type Document, type Kind, kindOf, kinds } from "../kinds/mod.ts";
import { parseAddressRange } from "./admission/address-range.ts";
import { nodeAuthorizer } from "./auth/node-authorizer.ts";
import { tableAuthorizer } from "./auth/policy.ts";
import { bootstrap } from "./bootstrap.ts";
import { addClusterService, Readiness } from "./faces/grpc/cluster.ts";
import { addDynamicService } from "./faces/grpc/dynamic.ts";
import type { Face } from "./faces/grpc/face.ts";
import { addTypedServices } from "./faces/grpc/typed.ts";
import { limits } from "./limits.ts";
import { Liveness, type LivenessOptions } from "./nodes/liveness.ts";
import { objectKey } from "./storage/keys.ts";
import { WatchCache } from "./storage/watch-cache.ts";
import { type Backend, Gate } from "./verbs/mod.ts";

export interface ApiserverOptions {
  /** This master; also the name of its NodeLiveness object. */
  readonly name: string;
  /** Stays the caller's to close. */
  readonly store: Store;
  readonly listen: { readonly host: string; readonly port: number };
  readonly tls: ServerTls;
  /** Common names that may speak for other users; default `trireme:balancer`. */
  readonly frontProxyNames?: readonly string[] | undefined;
  /** Default 127.32.0.0/12. */
  readonly serviceRange?: string | undefined;
  /** With which kubelets are called; absent: without TLS. */
  readonly kubeletTls?: ClientTls | undefined;
  /** Which gRPC server; default: trireme. */
  readonly rpcEngine?: RpcEngine | undefined;
  readonly requestTimeoutMillis?: number | undefined;
  readonly bookmarkMillis?: number | undefined;
  readonly heartbeats?: LivenessOptions | undefined;
  /** Requests under way at once. */
  readonly readsInFlight?: number | undefined;
  readonly writesInFlight?: number | undefined;
  /** Gives backups of the store; absent: none. */
  readonly snapshot?: Face["snapshot"];
  readonly log: Log;
  /** Unix milliseconds; default: the wall clock. */
  readonly now?: (() => number) | undefined;
}

export interface Apiserver {
  readonly port: number;
  /** Says that it stops, ends streams, and lets calls under way finish within the grace time. */
  drain(): Promise<void>;
  /** Drains, then closes everything but the store. Idempotent. */
  close(): Promise<void>;
}

export const defaultServiceRange = "127.32.0.0/12";
export const defaultFrontProxyNames = ["trireme:balancer"];

/** Starts to listen at once; serves when the cache is filled and a leader is known. */
export async function startApiserver(options: ApiserverOptions): Promise<Apiserver> {
  const { store, log } = options;
  const backend = createBackend(options);
  const liveness = new Liveness(
    backend,
    { nodes: requiredKind("v1", "Node"), liveness: requiredKind(livenessVersion, "NodeLiveness") },
    options.heartbeats ?? {},
  );
  const stopping = new AbortController();
  const face: Face = {
    backend,
    frontProxyNames: new Set(options.frontProxyNames ?? defaultFrontProxyNames),
    kubeletTls: options.kubeletTls,
    heartbeats: liveness,
    snapshot: options.snapshot,
    stopping: stopping.signal,
  };
  const readiness = new Readiness();
  const health = new HealthRegistry();
  const server = createServer(options, face, readiness, health);
  const undoStatus = store.onStatus((status) => {
    readiness.leaderKnown = status.leader !== undefined;
  });
  readiness.onChange(() => setHealth(health, server, readiness.ready));
  setHealth(health, server, readiness.ready);
  backend.cache.start();
  const prepared = prepare(backend, readiness, stopping.signal);
  const { port } = await server.listen(options.listen);
  log.info("the apiserver listens", { ...options.listen, port });

  let drained: Promise<void> | undefined;
  const drain = () => {
    drained ??= (async () => {
      readiness.stop();
      health.shutDown();
      stopping.abort();
      await backend.cache.close();
      await server.drain(limits.drainMillis);
    })();
    return drained;
  };
  let closed: Promise<void> | undefined;
  return {
    port,
    drain,
    close: () => {
      closed ??= (async () => {
        await drain();
        await prepared;
        await liveness.close();
        undoStatus();
        await server.close();
      })();
      return closed;
    },
  };
}

const livenessVersion = "node.trireme.io/v1";

function requiredKind(apiVersion: string, kind: string): Kind {
  const found = kindOf(apiVersion, kind);
  if (found === undefined) {
    throw new StatusError(Code.internal, `kind ${kind} of ${apiVersion} is not registered`);
  }
  return found;
}

/** The verb pipeline on a store; `cache.start()` sets it going. */
export function createBackend(options: Omit<ApiserverOptions, "listen" | "tls">): Backend {
  const { store, log } = options;
  const cache = new WatchCache({ store, kinds, log, bookmarkMillis: options.bookmarkMillis });
  const lookup = (kind: Kind, namespace: string, name: string): Document | undefined =>
    cache.of(kind).get(objectKey(kind, namespace, name))?.document;
  return {
    name: options.name,
    store,
    cache,
    log,
    authorizers: [tableAuthorizer(), nodeAuthorizer(lookup)],
    gate: new Gate(options.readsInFlight, options.writesInFlight),
    serviceRange: parseAddressRange(options.serviceRange ?? defaultServiceRange),
    requestTimeoutMillis: options.requestTimeoutMillis ?? limits.requestTimeoutMillis,
    now: options.now ?? Date.now,
    random: (limit) => randomInt(limit),
    newUid: () => randomUUID(),
  };
}

function createServer(
  options: ApiserverOptions,
  face: Face,
  readiness: Readiness,
  health: HealthRegistry,
): RpcServer {
  const server = createRpcServer({
    engine: options.rpcEngine,
    log: options.log,
    tls: options.tls,
    maxMessageBytes: limits.messageBytes,
    maxRequestBytes: limits.requestBytes,
  });
  addTypedServices(server, face, kinds);
  addDynamicService(server, face);
  addClusterService(server, face, readiness);
  addHealth(server, health);
  addReflection(server);
  return server;
}

function setHealth(health: HealthRegistry, server: RpcServer, ready: boolean): void {
  const status = ready ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  for (const service of ["", ...server.services]) health.set(service, status);
}

/** Fills the cache and creates what every cluster has; ends early when the server stops. */
async function prepare(backend: Backend, readiness: Readiness, signal: AbortSignal): Promise<void> {
  try {
    await backend.cache.whenFilled();
  } catch (thrown) {
    backend.log.info("stopped before the watch cache was filled", {
      reason: StatusError.from(thrown).message,
    });
    return;
  }
  await bootstrap(backend, signal);
  readiness.cacheFilled();
}

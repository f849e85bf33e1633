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
import { MetricsRegistry } from "../../ha/runtime/metrics.ts";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { addProcessMetrics } from "../../ha/runtime/production/process-metrics.ts";
import { StatusError } from "../../ha/runtime/status-error.ts";
import type { Tracer } from "../../ha/runtime/trace.ts";
import type { Clock, Log } from "../../ha/runtime/types.ts";
import type { Store } from "../../ha/store/types.ts";
import { builtInRegistry, type Registry, type Resource } from "../kinds/mod.ts";
import { parseAddressRanges } from "./address-range.ts";
import type { TolerationSeconds } from "./admission/default-toleration-seconds.ts";
import { admissionChain } from "./admission/plugins.ts";
import { parsePortRange } from "./admission/port-range.ts";
import { Auditor, type AuditSink } from "./audit/auditor.ts";
import type { AuditCounts } from "./audit/log-file.ts";
import type { AuditPolicy } from "./audit/policy.ts";
import type { Authenticator } from "./auth/authenticate.ts";
import { bearerAuthenticator, type TokenAuthenticator } from "./auth/bearer.ts";
import { bootstrapTokenAuthenticator } from "./auth/bootstrap-tokens.ts";
import { certificateAuthenticator } from "./auth/certificate.ts";
import { frontProxyAuthenticator } from "./auth/front-proxy.ts";
import { impersonating } from "./auth/impersonation.ts";
import { mastersAuthorizer } from "./auth/masters.ts";
import { nodeAuthorizer } from "./auth/node-authorizer.ts";
import { NodeGraph } from "./auth/node-graph.ts";
import { rbacAuthorizer } from "./auth/rbac/authorizer.ts";
import { RbacPolicy } from "./auth/rbac/policy.ts";
import {
  type ObjectLookup,
  serviceAccountAuthenticator,
} from "./auth/service-accounts/authenticator.ts";
import {
  type ServiceAccountTokenOptions,
  ServiceAccountTokens,
} from "./auth/service-accounts/tokens.ts";
import { tokenFileAuthenticator } from "./auth/token-file.ts";
import { bootstrap } from "./bootstrap.ts";
import { type ApiEndpoint, keepClusterService } from "./cluster-service.ts";
import { unavailable } from "./errors.ts";
import { conversionWebhooks } from "./extensions/conversion-webhook.ts";
import { CustomResources } from "./extensions/custom-resources.ts";
import { serviceLookup } from "./extensions/services.ts";
import { addClusterService, Readiness } from "./faces/grpc/cluster.ts";
import { addDynamicService } from "./faces/grpc/dynamic.ts";
import type { Face } from "./faces/grpc/face.ts";
import { addTypedServices } from "./faces/grpc/typed.ts";
import type { OnUpgrade } from "./faces/rest/http1.ts";
import { addIssuerPaths } from "./faces/rest/issuer-paths.ts";
import { metricsResponse } from "./faces/rest/metrics-path.ts";
import { type RestBounds, RestServer } from "./faces/rest/server.ts";
import { upgradeHandler } from "./faces/rest/streams/upgrade.ts";
import { keepFlowSchemaStatus } from "./flow-schema-status.ts";
import type { JoinInfo } from "./join-policy.ts";
import { limits } from "./limits.ts";
import { addApiMetrics } from "./metrics.ts";
import { Liveness, type LivenessOptions } from "./nodes/liveness.ts";
import { PodOverview } from "./nodes/pod-overview.ts";
import { UsageOfNodes } from "./nodes/usage.ts";
import { keepServiceAllocations } from "./service-allocations.ts";
import { keepCompacting } from "./storage/compactor.ts";
import { type Encryption, encryptedStore } from "./storage/encryption/encryption.ts";
import { objectKey } from "./storage/keys.ts";
import { WatchCache } from "./storage/watch-cache.ts";
import { followFlowConfiguration } from "./verbs/flow-configuration.ts";
import { type Backend, FlowControl, TimeToLive } from "./verbs/mod.ts";
import { RequestMetrics, slowRequestLog } from "./verbs/request-metrics.ts";
import { virtualKinds } from "./virtual/mod.ts";

export interface ApiserverOptions {
  /** This master; also the name of its NodeLiveness object. */
  readonly name: string;
  /** Stays the caller's to close. */
  readonly store: Store;
  readonly listen: { readonly host: string; readonly port: number };
  readonly tls: ServerTls;
  /** Where the REST API is served over HTTPS; absent: it is not. */
  readonly https?: { readonly host: string; readonly port: number } | undefined;
  /** Times of the REST API's requests, and its connections; default: limits.ts. */
  readonly restBounds?: RestBounds | undefined;
  /** Takes over connections of the REST API that are to be upgraded. */
  readonly onUpgrade?: OnUpgrade | undefined;
  /** Common names that may speak for other users; default `trireme:balancer`. */
  readonly frontProxyNames?: readonly string[] | undefined;
  /** Of one family or, with a comma between, of both; default 127.32.0.0/12. */
  readonly serviceRange?: string | undefined;
  /** To which the service `kubernetes` leads; absent: there is no such service. */
  readonly apiEndpoints?: readonly ApiEndpoint[] | undefined;
  /** Address of the service `kube-dns`; absent: there is no such service. */
  readonly clusterDns?: string | undefined;
  /** What machines that join are told; absent: none can. */
  readonly join?: JoinInfo | undefined;
  /** Ports that services of type NodePort and LoadBalancer get; default 30000-32767. */
  readonly nodePortRange?: string | undefined;
  /** How long pods that say nothing stay on lost nodes; absent: not at all. */
  readonly tolerationSeconds?: TolerationSeconds | undefined;
  /** Whether new nodes wait for the node controller before they get pods; default: not. */
  readonly taintNewNodes?: boolean | undefined;
  /** With which kubelets are called; absent: without TLS. */
  readonly kubeletTls?: ClientTls | undefined;
  /** Which gRPC server; default: trireme. */
  readonly rpcEngine?: RpcEngine | undefined;
  readonly requestTimeoutMillis?: number | undefined;
  readonly bookmarkMillis?: number | undefined;
  /** How long the store's history is kept at the least; default, and 0: for ever. */
  readonly compactionMillis?: number | undefined;
  readonly heartbeats?: LivenessOptions | undefined;
  /** The resources to serve; default: the built-in ones. May change while the server runs. */
  readonly registry?: Registry | undefined;
  /** Bearer tokens: lines of token,user,uid,"groups". */
  readonly tokens?: string | undefined;
  /** Further kinds of bearer tokens, e.g. of an OpenID Connect provider. */
  readonly tokenKinds?: readonly TokenAuthenticator[] | undefined;
  /** The keys and rules of service accounts' tokens; absent: there are none. */
  readonly serviceAccounts?: ServiceAccountTokenOptions | undefined;
  /** Requests under way at once, and how many of one user may wait for their turn. */
  readonly seats?: number | undefined;
  readonly queueLength?: number | undefined;
  /** Counts what the server does; default: counters of its own. */
  readonly metrics?: MetricsRegistry | undefined;
  /** Makes spans of the requests; absent: there are none. */
  readonly tracer?: Tracer | undefined;
  /** Of objects in the store; absent: they are stored as they are. */
  readonly encryption?: Encryption | undefined;
  /** The audit log; absent: there is none. Its sink stays the caller's to close. */
  readonly audit?:
    | { readonly policy: AuditPolicy; readonly sink: AuditSink; readonly counts?: AuditCounts }
    | undefined;
  /** Gives backups of the store; absent: none. */
  readonly snapshot?: Face["snapshot"];
  readonly log: Log;
  /** Drives every timer of the verbs and the watch cache; default: the real time. */
  readonly clock?: Clock | undefined;
  /** Unix milliseconds; default: the wall time of `clock`. */
  readonly now?: (() => number) | undefined;
  /** Uniform integer in 0..limit-1; default: unpredictable. */
  readonly random?: ((limit: number) => number) | undefined;
  /** Gives each new object its uid; default: a random UUID. */
  readonly newUid?: (() => string) | undefined;
}

export interface Apiserver {
  readonly port: number;
  /** Of the REST API; undefined when it is not served. */
  readonly httpsPort: number | undefined;
  /** Says that it stops, ends streams, and lets calls under way finish within the grace time. */
  drain(): Promise<void>;
  /** Drains, then closes everything but the store. Idempotent. */
  close(): Promise<void>;
}

export const defaultServiceRange = "127.32.0.0/12";

export const defaultNodePortRange = "30000-32767";
const defaultFrontProxyNames = ["trireme:balancer"];

/** Starts to listen at once; serves when the cache is filled and a leader is known. */
export async function startApiserver(options: ApiserverOptions): Promise<Apiserver> {
  const { store, log } = options;
  const metrics = options.metrics ?? new MetricsRegistry();
  const backend = createBackend({ ...options, metrics });
  const liveness = new Liveness(backend, options.heartbeats ?? {});
  const stopping = new AbortController();
  const face: Face = {
    backend,
    authenticators: [impersonating(createAuthenticators(options, backend), backend.authorizers)],
    kubeletTls: options.kubeletTls,
    heartbeats: liveness,
    snapshot: options.snapshot,
    stopping: stopping.signal,
  };
  const readiness = new Readiness();
  const health = new HealthRegistry();
  const server = createServer(options, face, readiness, health);
  const undoStatus = store.onStatus((status) => readiness.storeChanged(status));
  readiness.onChange(() => setHealth(health, server, readiness.ready));
  setHealth(health, server, readiness.ready);
  keepFlowSchemaStatus(backend, stopping.signal);
  keepServiceAllocations(backend, rangesOf(options), stopping.signal);
  const { compactionMillis: intervalMillis = 0 } = options;
  if (intervalMillis > 0) {
    keepCompacting({ store, clock: backend.clock, log, intervalMillis }, stopping.signal);
  }
  backend.cache.start();
  const prepared = (async () => {
    await prepare(backend, readiness, stopping.signal);
    const { apiEndpoints = [], clusterDns, join, tls } = options;
    const kept = { endpoints: apiEndpoints, clusterDns, ca: tls.clientCa, join };
    await keepClusterService(backend, kept, stopping.signal);
  })();
  const undoMetrics = [
    addProcessMetrics(metrics),
    addApiMetrics({
      ...{ registry: metrics, cache: backend.cache, store },
      audit: options.audit?.counts,
    }),
  ];
  const rest = options.https && createRest(options, face, readiness);
  rest?.paths.add("/metrics", () => metricsResponse(metrics));

  let drained: Promise<void> | undefined;
  const drain = () => {
    drained ??= (async () => {
      readiness.stop();
      health.shutDown();
      // Balancers hear meanwhile, by the status that they watch, that new calls go elsewhere.
      await backend.cache.endWatches();
      stopping.abort();
      await backend.cache.close();
      await Promise.all([server.drain(limits.drainMillis), rest?.drain(limits.drainMillis)]);
    })();
    return drained;
  };
  let closed: Promise<void> | undefined;
  const close = () => {
    closed ??= (async () => {
      await drain();
      await prepared;
      await liveness.close();
      undoStatus();
      for (const undo of undoMetrics) undo();
      await Promise.all([server.close(), rest?.close()]);
    })();
    return closed;
  };
  try {
    const { port } = await server.listen(options.listen);
    const httpsPort = options.https && (await rest?.listen(options.https))?.port;
    log.info("the apiserver listens", { ...options.listen, port, httpsPort });
    return { port, httpsPort, drain, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function createAuthenticators(options: ApiserverOptions, { tokens }: Backend): Authenticator[] {
  const frontProxies = new Set(options.frontProxyNames ?? defaultFrontProxyNames);
  return [
    frontProxyAuthenticator(frontProxies),
    certificateAuthenticator(frontProxies),
    bearerAuthenticator(tokens.kinds, tokens.audiences),
  ];
}

/** Throws a StatusError that names what is no range. */
function rangesOf({
  serviceRange = defaultServiceRange,
  nodePortRange = defaultNodePortRange,
}: Pick<ApiserverOptions, "serviceRange" | "nodePortRange">) {
  return { addresses: parseAddressRanges(serviceRange), ports: parsePortRange(nodePortRange) };
}

/** The verb pipeline on a store; `cache.start()` sets it going. */
export function createBackend(options: Omit<ApiserverOptions, "listen" | "tls">): Backend {
  const { encryption, log, metrics = new MetricsRegistry() } = options;
  const store = encryption ? encryptedStore(options.store, encryption) : options.store;
  const registry = options.registry ?? builtInRegistry();
  const { bookmarkMillis, clock = productionClock } = options;
  const cache = new WatchCache({ store, registry, log, bookmarkMillis, clock });
  encryption?.onReplace(() => cache.readAgain());
  const { serviceAccounts } = options;
  const serviceAccountTokens = serviceAccounts && new ServiceAccountTokens(serviceAccounts);
  const graph = NodeGraph.of(registry, cache);
  const policy = RbacPolicy.of(registry, cache);
  const now = options.now ?? (() => clock.wallMillis());
  const random = options.random ?? ((limit: number) => randomInt(limit));
  const { addresses: ranges, ports: nodePorts } = rangesOf(options);
  const backend: Omit<Backend, "admission" | "catchUp"> = {
    name: options.name,
    registry,
    store,
    cache,
    encryption,
    log,
    policy,
    authorizers: [mastersAuthorizer, nodeAuthorizer(graph), rbacAuthorizer(policy)],
    flowControl: new FlowControl({
      seats: options.seats ?? limits.seats,
      queueLength: options.queueLength ?? limits.queueLength,
      queueMillis: limits.queueMillis,
      metrics,
      clock,
    }),
    audit: options.audit && new Auditor(options.audit.policy, options.audit.sink, now),
    virtual: virtualKinds,
    usage: new UsageOfNodes({ registry, cache, tls: options.kubeletTls, clock, log }),
    tokens: {
      kinds: tokenKinds(options, registry, cache, serviceAccountTokens, now),
      audiences: serviceAccountTokens?.audiences ?? [],
    },
    serviceAccountTokens,
    requests: new RequestMetrics(metrics, slowRequestLog(log, now)),
    tracer: options.tracer,
    timeToLive: new TimeToLive(store, now),
    serviceRanges: ranges.map(({ text }) => text),
    requestTimeoutMillis: options.requestTimeoutMillis ?? limits.requestTimeoutMillis,
    clock,
    now,
    random,
    newUid: options.newUid ?? (() => randomUUID()),
  };
  followFlowConfiguration(backend);
  const plugins = {
    ranges,
    nodePorts,
    random,
    originOf: (resource: Resource) => customResources.originOf(resource),
    serviceLookup: serviceLookup(registry, cache, random),
    tolerationSeconds: options.tolerationSeconds,
    taintNewNodes: options.taintNewNodes,
  };
  const complete: Backend = {
    ...backend,
    admission: admissionChain({ ...backend, graph }, plugins),
    catchUp: (withinMillis) => customResources.catchUp(withinMillis),
  };
  const webhooks = conversionWebhooks(plugins.serviceLookup);
  const customResources = new CustomResources(complete, webhooks);
  customResources.start();
  return complete;
}

/** Asked in this order; those that answer for one form of token alone come first. */
function tokenKinds(
  options: Pick<ApiserverOptions, "tokens" | "tokenKinds">,
  registry: Registry,
  cache: WatchCache,
  serviceAccountTokens: ServiceAccountTokens | undefined,
  now: () => number,
): TokenAuthenticator[] {
  const lookup: ObjectLookup = (kind, namespace, name) => {
    // Otherwise a token would be refused for good that is only not known yet.
    if (!cache.filled)
      throw unavailable("the apiserver is starting: its watch cache is not filled yet");
    const resource = registry.required("v1", kind);
    return cache.of(resource).get(objectKey(resource, namespace, name))?.document;
  };
  return [
    ...(serviceAccountTokens === undefined
      ? []
      : [serviceAccountAuthenticator(serviceAccountTokens, lookup, now)]),
    bootstrapTokenAuthenticator((name) => lookup("Secret", "kube-system", name), now),
    ...(options.tokenKinds ?? []),
    ...(options.tokens === undefined ? [] : [tokenFileAuthenticator(options.tokens)]),
  ];
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
  addTypedServices(server, face);
  addDynamicService(server, face);
  const { cache, registry } = face.backend;
  const pods = new PodOverview(cache.of(registry.required("v1", "Pod")));
  addClusterService(server, face, readiness, pods);
  addHealth(server, health);
  addReflection(server);
  return server;
}

function createRest(options: ApiserverOptions, face: Face, readiness: Readiness): RestServer {
  const { log, tls, onUpgrade = upgradeHandler(face) } = options;
  const rest = new RestServer({ face, readiness, log, tls, onUpgrade, ...options.restBounds });
  addIssuerPaths(rest.paths, face.backend.serviceAccountTokens);
  return rest;
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

/**
 * The Service `kubernetes` of the namespace `default`, by which programs in pods reach the API: its
 * address is the first of the services' range (upstream `controlplane/controller/kubernetesservice`).
 */
import { connect, isIP, isIPv4, isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";
import { isDeepStrictEqual } from "node:util";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Endpoints } from "../../proto/gen/core.ts";
import type { EndpointSlice } from "../../proto/gen/discovery.ts";
import { canonicalAddress, type Document } from "../kinds/mod.ts";
import { parseAddressRange, parseAddressRanges } from "./address-range.ts";
import { reconcileClusterInfo } from "./cluster-info.ts";
import { type JoinInfo, reconcileJoinPolicy } from "./join-policy.ts";
import { limits } from "./limits.ts";
import { apiserverUser } from "./nodes/liveness.ts";
import { objectKey } from "./storage/keys.ts";
import { pause } from "./storage/watch-cache.ts";
import { type Backend, create, documentBody, internalCall, remove, update } from "./verbs/mod.ts";

/** Where the REST API is served. */
export interface ApiEndpoint {
  readonly ip: string;
  readonly port: number;
}

const namespace = "default";
const name = "kubernetes";
const portName = "https";
const servicePort = 443;
const labels = { component: "apiserver", provider: "kubernetes" };
const skipMirror = "endpointslice.kubernetes.io/skip-mirror";
const serviceLabel = "kubernetes.io/service-name";
const endpointsMax = 18;

/**
 * `ip:port,…`, with brackets around an address of IPv6. Absent: this master itself, at an address of
 * the machine when it listens on all of them. `serviceRange`: the ranges of the services' addresses;
 * the service `kubernetes` has one of the first range, and its endpoints are of that family. Throws a
 * StatusError naming the flag, or what does not match.
 */
export function parseApiEndpoints(
  text: string | undefined,
  own: { readonly host: string; readonly port: number } | undefined,
  serviceRange: string,
): readonly ApiEndpoint[] {
  const [range] = parseAddressRanges(serviceRange);
  const endpoints = text === undefined ? ownEndpoint(own, range.family) : namedEndpoints(text);
  const other = endpoints.find(({ ip }) => familyOf(ip) !== range.family);
  if (other === undefined) return endpoints;
  throw refused(`service IP family "${range.text}" must match public address family "${other.ip}"`);
}

function familyOf(ip: string): "IPv4" | "IPv6" {
  return isIPv4(ip) ? "IPv4" : "IPv6";
}

/** What has no address but a name, such as localhost, is no endpoint. */
function ownEndpoint(
  own: { readonly host: string; readonly port: number } | undefined,
  family: "IPv4" | "IPv6",
): readonly ApiEndpoint[] {
  if (own === undefined) return [];
  const { host, port } = own;
  // What listens on all addresses of IPv6 takes connections to those of IPv4 too.
  const all = host === "::" ? family : host === "0.0.0.0" ? "IPv4" : undefined;
  const ip = all === undefined ? host : machineAddress(all);
  return isIP(ip) === 0 ? [] : [{ ip, port }];
}

function namedEndpoints(text: string): readonly ApiEndpoint[] {
  const flag = "--kubernetes-service-endpoints";
  const parts = text.split(",");
  if (parts.length > endpointsMax) {
    throw refused(`${flag}: ${parts.length} endpoints, at most ${endpointsMax} are taken`);
  }
  return parts.map((part) => {
    const [, four, six, digits] = /^(?:([\d.]+)|\[([\da-fA-F:.]+)\]):(\d{1,5})$/.exec(part) ?? [];
    const port = Number(digits);
    const ip = four ?? six ?? "";
    const valid = four === undefined ? isIPv6(ip) : isIPv4(ip);
    if (valid && port >= 1 && port <= 65_535) return { ip: canonicalAddress(ip), port };
    throw refused(
      `${flag} ${text}: "${part}" is no address and port, such as 10.0.0.1:6443 or [fd00::1]:6443`,
    );
  });
}

function refused(message: string): StatusError {
  return new StatusError(Code.invalidArgument, message);
}

/**
 * One at which other machines reach this one; that of loopback where none does. Of any family, one of
 * IPv4 is preferred.
 */
export function machineAddress(family?: "IPv4" | "IPv6"): string {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outer = all.filter((one) => !one.internal && !one.address.startsWith("fe80:"));
  const of = (wanted: "IPv4" | "IPv6") => outer.find((one) => one.family === wanted)?.address;
  if (family === "IPv6") return of("IPv6") ?? "::1";
  return of("IPv4") ?? (family === undefined ? of("IPv6") : undefined) ?? "127.0.0.1";
}

export interface KeptObjects {
  readonly endpoints: readonly ApiEndpoint[];
  /** Address of the service `kube-dns`; absent: none is made. */
  readonly clusterDns: string | undefined;
  /** PEM of the CA; absent: no `cluster-info` is made. */
  readonly ca: string | undefined;
  /** Absent: machines cannot join. */
  readonly join: JoinInfo | undefined;
}

/**
 * Puts the Services, their endpoints and `cluster-info` back whenever they are missing or other
 * than they should be.
 */
export async function keepClusterService(
  backend: Backend,
  { endpoints, clusterDns, ca, join }: KeptObjects,
  signal: AbortSignal,
): Promise<void> {
  const [first] = endpoints;
  if (first === undefined) return;
  const reachability = new Reachability(endpoints);
  while (!signal.aborted) {
    try {
      await reconcileClusterService(backend, await reachability.check());
      const host = isIPv6(first.ip) ? `[${first.ip}]` : first.ip;
      const server = `https://${host}:${first.port}`;
      if (ca !== undefined) await reconcileClusterInfo(backend, { server, ca });
      if (join !== undefined) await reconcileJoinPolicy(backend, join);
      if (clusterDns !== undefined) await reconcileDnsService(backend, clusterDns);
    } catch (thrown) {
      const error = StatusError.from(thrown).message;
      backend.log.warn("the service kubernetes and cluster-info could not be kept; trying again", {
        error,
      });
    }
    await pause(backend.clock, limits.clusterServiceMillis, signal);
  }
}

/** Which endpoints take connections: one that is dead for a while is none of the service's. */
export class Reachability {
  readonly #endpoints: readonly ApiEndpoint[];
  readonly #failures = new Map<ApiEndpoint, number>();

  constructor(endpoints: readonly ApiEndpoint[]) {
    this.#endpoints = endpoints;
  }

  /** All of them when none can be reached: then it is this master that is cut off. */
  async check(): Promise<readonly ApiEndpoint[]> {
    await Promise.all(
      this.#endpoints.map(async (endpoint) => {
        const failures = (await takesConnections(endpoint)) ? 0 : this.#failuresOf(endpoint) + 1;
        this.#failures.set(endpoint, failures);
      }),
    );
    const left = this.#endpoints.filter((each) => this.#failuresOf(each) < failuresMax);
    return left.length === 0 ? this.#endpoints : left;
  }

  #failuresOf(endpoint: ApiEndpoint): number {
    return this.#failures.get(endpoint) ?? 0;
  }
}

/** In a row; a balancer that is being started again is no dead one. */
const failuresMax = 3;

function takesConnections({ ip, port }: ApiEndpoint): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: ip, port, timeout: limits.endpointConnectMillis });
    const done = (taken: boolean) => {
      socket.destroy();
      resolve(taken);
    };
    socket.once("connect", () => done(true));
    socket.once("timeout", () => done(false));
    socket.on("error", () => done(false));
  });
}

export async function reconcileClusterService(
  backend: Backend,
  endpoints: readonly ApiEndpoint[],
): Promise<void> {
  await reconcile(backend, "v1", "Service", wantedService(backend), "spec", "created");
  const byPort = Map.groupBy(endpoints, ({ port }) => port);
  const groups = [...byPort].sort(([one], [other]) => one - other);
  const ports = (port: number) => [{ name: portName, port, protocol: "TCP" }];
  const subsets: Endpoints["subsets"] = groups.map(([port, list]) => ({
    addresses: list.map(({ ip }) => ({ ip })),
    ports: ports(port),
  }));
  const metadata = { name, namespace, labels: { [skipMirror]: "true" } };
  await reconcile(backend, "v1", "Endpoints", { metadata, subsets }, "subsets", "kept");
  const slices = groups.map(([port, list], index): EndpointSlice => {
    return {
      metadata: {
        name: index === 0 ? name : `${name}-${index}`,
        namespace,
        labels: { [serviceLabel]: name },
      },
      addressType: familyOf(list[0]?.ip ?? ""),
      endpoints: list.map(({ ip }) => ({ addresses: [ip], conditions: { ready: true } })),
      ports: ports(port),
    };
  });
  const version = "discovery.k8s.io/v1";
  for (const slice of slices) {
    await reconcile(backend, version, "EndpointSlice", slice, "ports", "kept");
    await reconcile(backend, version, "EndpointSlice", slice, "endpoints", "kept");
  }
  await removeSlice(backend, version, `${name}-${slices.length}`);
}

/** `kube-dns` has no endpoints: every node's kube-proxy answers at its address itself. */
async function reconcileDnsService(backend: Backend, clusterIP: string): Promise<void> {
  const port = (protocol: string, own: string) => ({ name: own, port: 53, protocol });
  const service = {
    metadata: {
      name: "kube-dns",
      namespace: "kube-system",
      labels: { "k8s-app": "kube-dns" },
    },
    spec: {
      type: "ClusterIP",
      clusterIP,
      clusterIPs: [clusterIP],
      ports: [port("UDP", "dns"), port("TCP", "dns-tcp")],
      sessionAffinity: "None",
    },
  };
  await reconcile(backend, "v1", "Service", service, "spec", "created");
}

function wantedService(backend: Backend): object {
  const clusterIP = parseAddressRange(backend.serviceRanges[0] ?? "").first;
  return {
    metadata: { name, namespace, labels },
    spec: {
      type: "ClusterIP",
      clusterIP,
      clusterIPs: [clusterIP],
      ports: [{ name: portName, port: servicePort, protocol: "TCP", targetPort: 6443 }],
      sessionAffinity: "None",
    },
  };
}

/**
 * Creates the object; `kept`: also puts its field back when it differs. A slice of another family,
 * from a time with other ranges, cannot change that and makes room.
 */
async function reconcile(
  backend: Backend,
  apiVersion: string,
  kind: string,
  wanted: object,
  field: string,
  mode: "created" | "kept",
): Promise<void> {
  const resource = backend.registry.required(apiVersion, kind);
  const document = { apiVersion, kind, ...structuredClone(wanted) } as Document;
  const { name: own = "", namespace: space = "" } = document.metadata ?? {};
  const stored = backend.cache.of(resource).get(objectKey(resource, space, own));
  const call = internalCall(apiserverUser);
  const isOther =
    stored !== undefined && stored.document["addressType"] !== document["addressType"];
  if (isOther) await remove(backend, call, resource, { name: own, namespace: space });
  if (stored === undefined || isOther) {
    try {
      await create(backend, call, resource, { body: documentBody(document) });
    } catch (thrown) {
      // Another master was faster.
      if (StatusError.from(thrown).code !== Code.alreadyExists) throw thrown;
    }
    return;
  }
  if (mode === "created" || isDeepStrictEqual(stored.document[field], document[field])) return;
  const next = { ...stored.copy(), [field]: document[field] };
  await update(backend, call, resource, {
    body: documentBody(next),
    subresource: "",
    typed: false,
  });
}

/** The slice after the last: left over from a time with more ports. */
async function removeSlice(backend: Backend, apiVersion: string, slice: string): Promise<void> {
  const resource = backend.registry.required(apiVersion, "EndpointSlice");
  if (backend.cache.of(resource).get(objectKey(resource, namespace, slice)) === undefined) return;
  await remove(backend, internalCall(apiserverUser), resource, { name: slice, namespace });
}

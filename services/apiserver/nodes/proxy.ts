/**
 * HTTP requests to pods and services through the apiserver. The connection is one that the pod's
 * kubelet forwards, so that it reaches pods on any node.
 */
import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect as tcpConnect } from "node:net";
import type { Duplex } from "node:stream";
import { connect as tlsConnect } from "node:tls";
import { assert } from "../../../ha/runtime/assert.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Endpoints, Pod, Service } from "../../../proto/gen/core.ts";
import type { Resource } from "../../kinds/mod.ts";
import { badRequest, notFound, unavailable } from "../errors.ts";
import { limits } from "../limits.ts";
import { objectKey } from "../storage/keys.ts";
import type { Call } from "../verbs/call.ts";
import { admitConnection } from "../verbs/connection.ts";
import { allow } from "../verbs/pipeline.ts";
import { waitForCache } from "../verbs/resource-version.ts";
import { ForwardedSocket } from "./forwarded-socket.ts";
import { type FoundPod, kubeletAddress } from "./kubelet-client.ts";
import { type Forwarding, forwardingOf } from "./port-forward.ts";
import type { NodeServing } from "./types.ts";

export interface ProxyRequest {
  readonly resource: Resource;
  /** Of the subresource `proxy`, by the HTTP method. */
  readonly verb: string;
  readonly namespace: string;
  /** NAME, NAME:PORT or SCHEME:NAME:PORT. */
  readonly name: string;
  /** Behind `proxy`, without a leading slash. */
  readonly rest: string;
  readonly query: URLSearchParams;
  readonly body: Uint8Array;
  headers(name: string): readonly string[];
}

export interface ProxyAnswer {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: AsyncIterable<Uint8Array>;
}

/** Where a request goes: a new connection for it. */
type Open = () => Duplex;

/** SCHEME:NAME:PORT, as apimachinery's `SplitSchemeNamePort` reads it. */
interface Id {
  readonly scheme: "http" | "https";
  readonly name: string;
  readonly port: string;
}

/** Finds where a request goes, for a caller who may send it there. */
type Locate = (serving: NodeServing, call: Call, request: ProxyRequest) => Promise<Open>;

/** By the plurals of the core group. */
const locations: Readonly<Record<string, Locate>> = {
  nodes: nodeAt,
  pods: podAt,
  services: serviceAt,
};

function locate(serving: NodeServing, call: Call, request: ProxyRequest): Promise<Open> {
  const { group, plural } = request.resource;
  const found = group === "" && Object.hasOwn(locations, plural) ? locations[plural] : undefined;
  assert(found !== undefined, `${plural} have a proxy`);
  return found(serving, call, request);
}

/** HTTP to a kubelet, a pod, or one of a service's pods. */
export async function proxied(
  serving: NodeServing,
  call: Call,
  request: ProxyRequest,
): Promise<ProxyAnswer> {
  return send(await locate(serving, call, request), call, request);
}

/** A connection on which a request for an upgrade has been sent; what comes back is its own. */
export async function openUpgraded(
  serving: NodeServing,
  call: Call,
  request: ProxyRequest,
): Promise<Duplex> {
  const connection = (await locate(serving, call, request))();
  const { path, headers } = headOf(request);
  const passed = [...Object.entries(headers), ...upgradeHeaders(request)];
  const lines = passed.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  connection.write(`${methods[request.verb] ?? "GET"} ${path} HTTP/1.1\r\n${lines}\r\n`, "latin1");
  return connection;
}

/** Of the handshakes of WebSocket and SPDY, without the protocols that stand for a token. */
function upgradeHeaders(request: ProxyRequest): (readonly [string, string])[] {
  const names = ["origin", "upgrade", "x-stream-protocol-version"];
  const webSocket = ["key", "version", "extensions"].map((name) => `sec-websocket-${name}`);
  const passed = [...names, ...webSocket].flatMap((name) =>
    request.headers(name).map((value) => [name, value] as const),
  );
  const protocols = request
    .headers("sec-websocket-protocol")
    .flatMap((value) => value.split(","))
    .map((each) => each.trim())
    .filter((each) => each !== "" && !each.startsWith(bearerProtocol));
  const offered = protocols.length === 0 ? [] : [protocols.join(", ")];
  return [
    ["connection", "Upgrade"],
    ...passed,
    ...offered.map((value) => ["sec-websocket-protocol", value] as const),
  ];
}

const bearerProtocol = "base64url.bearer.authorization.k8s.io.";

async function podAt(serving: NodeServing, call: Call, request: ProxyRequest): Promise<Open> {
  const id = await admitted(serving, call, request);
  const { resource, namespace } = request;
  const pod = podIn(serving, namespace, id.name);
  if (pod === undefined) throw notFound(resource, id.name);
  const declared = (pod.spec?.containers ?? []).flatMap(({ ports = [] }) => ports)[0];
  const port =
    id.port === "" ? (declared?.containerPort ?? defaultPorts[id.scheme]) : portIn(id.port);
  return opening({ forwarding: forwardingOf(serving, call, foundPod(pod)), port }, id);
}

/** The certificates of pods are not checked, as upstream does not: they have no names to check. */
function opening({ forwarding, port }: Location, { scheme }: Id): Open {
  return () => {
    const connection = new ForwardedSocket(forwarding, port);
    if (scheme !== "https") return connection;
    return tlsConnect({ socket: connection, rejectUnauthorized: false });
  };
}

interface Location {
  readonly forwarding: Forwarding;
  readonly port: number;
}

/** To the kubelet itself, which knows this server by its certificate. */
async function nodeAt(serving: NodeServing, call: Call, request: ProxyRequest): Promise<Open> {
  const id = await admitted(serving, call, request);
  const address = kubeletAddress(serving.backend, id.name);
  const at = address.lastIndexOf(":");
  const own = address.slice(at + 1);
  if (id.port !== "" && id.port !== own) {
    throw badRequest(`port ${JSON.stringify(id.port)}: the kubelet of ${id.name} serves at ${own}`);
  }
  const host = address.slice(0, at).replace(/^\[|\]$/g, "");
  const port = portIn(own);
  const { kubeletTls: tls } = serving;
  return () =>
    tls === undefined
      ? tcpConnect({ host, port })
      : tlsConnect({ host, port, ...tls, ALPNProtocols: ["http/1.1"] });
}

async function serviceAt(serving: NodeServing, call: Call, request: ProxyRequest): Promise<Open> {
  const id = await admitted(serving, call, request);
  return opening(endpointOf(serving, call, request, id), id);
}

/** Throws Forbidden, BadRequest. */
async function admitted(serving: NodeServing, call: Call, request: ProxyRequest): Promise<Id> {
  const { resource, verb, namespace, name } = request;
  allow(serving.backend, call, { verb, resource, subresource: "proxy", namespace, name });
  await waitForCache(serving.backend, resource, undefined);
  const id = idIn(name, resource.kind.toLowerCase());
  await admitConnection(serving.backend, call, {
    ...{ resource, subresource: "proxy", namespace, name },
    options: { kind: `${resource.kind}ProxyOptions`, apiVersion: "v1", path: request.rest },
  });
  return id;
}

function idIn(text: string, kind: string): Id {
  const parts = text.split(":");
  const [scheme, name, port] =
    parts.length === 3 ? parts : ["", parts[0] ?? "", parts.length === 2 ? parts[1] : ""];
  const known = scheme === "" || scheme === "http" || scheme === "https";
  if (parts.length > 3 || !known || !name || port === undefined) {
    throw badRequest(`invalid ${kind} request ${JSON.stringify(text)}`);
  }
  return { scheme: scheme === "https" ? "https" : "http", name, port };
}

const defaultPorts = { http: 80, https: 443 } as const;

function portIn(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw badRequest(`port ${JSON.stringify(text)}: must be a number from 1 to 65535`);
}

function stored<T>(serving: NodeServing, kind: string, namespace: string, name: string) {
  const resource = serving.backend.registry.required("v1", kind);
  const found = serving.backend.cache.of(resource).get(objectKey(resource, namespace, name));
  return found?.document as T | undefined;
}

function podIn(serving: NodeServing, namespace: string, name: string): Pod | undefined {
  return stored<Pod>(serving, "Pod", namespace, name);
}

function foundPod({ metadata = {}, spec = {} }: Pod): FoundPod {
  const { name = "", namespace = "", uid = "" } = metadata;
  return { name, namespace, uid, spec: spec as FoundPod["spec"] };
}

/** One of the service's pods, by chance. Throws NotFound, ServiceUnavailable. */
function endpointOf(serving: NodeServing, call: Call, request: ProxyRequest, id: Id): Location {
  const { resource, namespace } = request;
  const service = stored<Service>(serving, "Service", namespace, id.name);
  if (service === undefined) throw notFound(resource, id.name);
  const wanted = portName(service, id);
  const endpoints = stored<Endpoints>(serving, "Endpoints", namespace, id.name);
  const choices = (endpoints?.subsets ?? []).flatMap(({ addresses = [], ports = [] }) => {
    const port = ports.find(({ name = "" }) => name === wanted)?.port;
    return port === undefined ? [] : addresses.map(({ targetRef }) => ({ targetRef, port }));
  });
  const reachable = choices.flatMap(({ targetRef, port }) => {
    const pod = podIn(serving, targetRef?.namespace ?? namespace, targetRef?.name ?? "");
    return targetRef?.kind === "Pod" && pod?.spec?.nodeName ? [{ pod, port }] : [];
  });
  const chosen = reachable[Math.floor(Math.random() * reachable.length)];
  if (chosen === undefined) {
    throw unavailable(`no endpoints available for service ${JSON.stringify(request.name)}`);
  }
  return { forwarding: forwardingOf(serving, call, foundPod(chosen.pod)), port: chosen.port };
}

/** A port is named as the service names it, or by its number. */
function portName({ spec = {} }: Service, { name, port }: Id): string {
  if (!/^\d+$/.test(port)) return port;
  const found = (spec.ports ?? []).find((each) => each.port === Number(port));
  if (found !== undefined) return found.name ?? "";
  throw unavailable(`no service port ${port} found for service ${JSON.stringify(name)}`);
}

const methods: Readonly<Record<string, string>> = {
  ...{ get: "GET", create: "POST", update: "PUT", patch: "PATCH", delete: "DELETE" },
};

/** Of the request; credentials stay here. */
const passedOn = [
  ...["accept", "accept-encoding", "accept-language", "cache-control", "content-type", "cookie"],
  ...["if-match", "if-modified-since", "if-none-match", "range", "user-agent", "x-requested-with"],
];

/** Of one connection alone (RFC 9110 section 7.6.1). */
const hopByHop = new Set([
  ...["connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer"],
  ...["transfer-encoding", "upgrade"],
]);

async function send(open: Open, call: Call, request: ProxyRequest): Promise<ProxyAnswer> {
  const connection = open();
  const { path, headers } = headOf(request);
  const sent = httpRequest({
    method: methods[request.verb] ?? "GET",
    path,
    headers: {
      ...headers,
      ...(request.body.length > 0 && { "content-length": String(request.body.length) }),
    },
    createConnection: () => connection as never,
    ...(call.signal !== undefined && { signal: call.signal }),
  });
  sent.end(request.body);
  const response = await answered(sent, connection);
  return {
    status: response.statusCode ?? 502,
    headers: headersOf(response, proxyPath(request)),
    body: bodyOf(response, connection),
  };
}

/** Path and headers as the other end gets them. */
function headOf(request: ProxyRequest): {
  readonly path: string;
  readonly headers: Record<string, string>;
} {
  const query = request.query.toString();
  const path = `/${request.rest.split("/").map(encodeURIComponent).join("/")}`;
  const given = passedOn.flatMap((name) => request.headers(name).map((value) => [name, value]));
  return {
    path: query === "" ? path : `${path}?${query}`,
    headers: {
      ...Object.fromEntries(given),
      host: request.name,
      "x-forwarded-uri": `${proxyPath(request)}${path}`,
    },
  };
}

function answered(
  sent: ReturnType<typeof httpRequest>,
  connection: Duplex,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      clearTimeout(timer);
      connection.destroy();
      const { message } = StatusError.from(error);
      reject(unavailable(`error trying to reach service: ${message}`));
    };
    const timer = setTimeout(() => {
      sent.destroy(new StatusError(Code.deadlineExceeded, "no answer came in time"));
    }, limits.requestTimeoutMillis);
    sent.once("error", fail);
    sent.once("response", (response) => {
      clearTimeout(timer);
      sent.off("error", fail);
      sent.on("error", () => connection.destroy());
      resolve(response);
    });
  });
}

function proxyPath({ resource, namespace, name }: ProxyRequest): string {
  const within = resource.namespaced ? `/namespaces/${namespace}` : "";
  return `/api/v1${within}/${resource.plural}/${name}/proxy`;
}

/** A redirect within the server leads through the proxy again. */
function headersOf(response: IncomingMessage, prefix: string): [string, string][] {
  const headers: [string, string][] = [];
  for (const [name, values = []] of Object.entries(response.headersDistinct)) {
    if (hopByHop.has(name) || name === "content-length") continue;
    for (const value of values) {
      const local = name === "location" && /^\/(?!\/)/.test(value);
      headers.push([name, local ? `${prefix}${value}` : value]);
    }
  }
  return headers;
}

async function* bodyOf(
  response: IncomingMessage,
  connection: Duplex,
): AsyncGenerator<Uint8Array, void> {
  try {
    for await (const piece of response) yield piece as Buffer;
  } finally {
    connection.destroy();
  }
}

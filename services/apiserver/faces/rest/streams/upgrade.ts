/**
 * Connections that leave HTTP: exec, attach and port-forward of pods. Everything is checked before
 * the upgrade, so that a refusal is an ordinary answer; what only the kubelet can find out comes
 * after it, on the error channel, as from upstream's apiserver.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { PeerIdentity } from "../../../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../../../ha/runtime/status-error.ts";
import { auditIdOf } from "../../../audit/auditor.ts";
import { failure } from "../../../audit/outcome.ts";
import { badRequest, methodNotAllowed, tooManyRequests } from "../../../errors.ts";
import { limits } from "../../../limits.ts";
import { openSession, sessionOptions } from "../../../nodes/exec.ts";
import { openForwarding } from "../../../nodes/port-forward.ts";
import type { NodeServing } from "../../../nodes/types.ts";
import type { User } from "../../../request-info.ts";
import { type Call, internalCall } from "../../../verbs/call.ts";
import { RestAudit } from "../audited.ts";
import { type OnUpgrade, writeError } from "../http1.ts";
import { parseTarget } from "../target.ts";
import { type ChannelProtocol, portProtocols, sessionProtocols } from "./channels.ts";
import { portsOf, servePorts } from "./ports.ts";
import { proxyTargetOf, serveProxied } from "./proxied.ts";
import { serveSession } from "./session.ts";
import { BoundedSocket, CloseCode, RawSocket, type StreamSocket } from "./socket.ts";
import { serveSpdySession, spdySessionProtocols } from "./spdy-session.ts";
import { serveTunnel } from "./tunnel.ts";

/** Of SPDY connections that forward ports. */
const spdyPortProtocol = "portforward.k8s.io";

/** SPDY/3.1 within WebSocket messages. */
const tunnelProtocol = "SPDY/3.1+portforward.k8s.io";

const pathShape = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)\/(exec|attach|portforward)$/;

type Subresource = "exec" | "attach" | "portforward";

interface Target {
  readonly namespace: string;
  readonly name: string;
  readonly subresource: Subresource;
  readonly query: URLSearchParams;
  /** A WebSocket's handshake is a GET; other clients POST. */
  readonly verb: "get" | "create";
}

/** A connection that may be upgraded. */
interface Prepared {
  /** What is answered as the protocol within the connection; "": nothing. */
  readonly protocol: string;
  serve(socket: StreamSocket): Promise<void>;
}

/** What each accepted request is answered with. */
const protocolChosen = new WeakMap<IncomingMessage, string>();

/** Handles the upgrades of one server; the user has been authenticated. */
export function upgradeHandler(serving: NodeServing): OnUpgrade {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: limits.streamMessageBytes,
  });
  // The library takes no subprotocol with a slash in it, as the tunnel's has: it sees none at all.
  server.on("headers", (headers, request) => {
    const protocol = protocolChosen.get(request);
    if (protocol) headers.push(`Sec-WebSocket-Protocol: ${protocol}`);
  });
  let open = 0;
  return (request, socket, head, user, peer) => {
    socket.on("error", () => socket.destroy());
    const left = new AbortController();
    socket.once("close", () => left.abort());
    if (open >= limits.upgrades) {
      const text = `Too many streams: ${limits.upgrades} are open on this apiserver already`;
      writeError(socket, tooManyRequests(text, limits.retryAfterSeconds));
      return;
    }
    open += 1;
    socket.once("close", () => {
      open -= 1;
    });
    const began = { value: false };
    const call: Call = {
      ...internalCall(user),
      signal: left.signal,
      streamBegun: () => {
        began.value = true;
      },
    };
    const audited = auditUpgrade(serving, { request, user, peer });
    call.audit = audited?.record;
    socket.once("close", () => call.audit?.complete({ code: 101 }));
    const client = { request, socket, head };
    const join = async () => {
      const proxied = proxyTargetOf(request);
      if (proxied !== undefined) {
        await serveProxied(serving, call, proxied, client);
        call.audit?.responseStarted(101);
        return;
      }
      const prepared = await prepare(serving, call, request, () => began.value);
      call.audit?.responseStarted(101);
      accept(server, serving, prepared, client);
    };
    join().catch((thrown: unknown) => {
      call.audit?.complete(failure(thrown));
      if (!socket.destroyed) writeError(socket, thrown);
    });
  };
}

/** Begins the record of a connection to be upgraded. */
function auditUpgrade(
  { backend }: NodeServing,
  { request, user, peer }: { request: IncomingMessage; user: User; peer: PeerIdentity },
): RestAudit | undefined {
  if (backend.audit === undefined) return undefined;
  const { method = "GET", url: target = "/" } = request;
  const headers = (name: string) => request.headersDistinct[name] ?? [];
  const header = (name: string) => headers(name)[0];
  const auditId = auditIdOf(header("audit-id"), randomUUID);
  const audited = new RestAudit(backend.audit, { header, headers, target, method, peer }, auditId);
  try {
    audited.begin(user, parseTarget(method, target));
  } catch (thrown) {
    audited.failed(thrown);
  }
  return audited;
}

async function prepare(
  serving: NodeServing,
  call: Call,
  request: IncomingMessage,
  begun: () => boolean,
): Promise<Prepared> {
  const target = targetOf(request);
  const { namespace, name, subresource, query, verb } = target;
  const pods = serving.backend.registry.required("v1", "Pod");
  const { clock } = serving.backend;
  if (subresource === "portforward") {
    const forwarding = await openForwarding(serving, call, pods, verb, { name, namespace });
    if (isSpdy(request)) {
      const protocol = spdyProtocol(request, [spdyPortProtocol]);
      return { protocol, serve: (socket) => serveTunnel(forwarding, socket, clock) };
    }
    const offered = protocolsOf(request, "sec-websocket-protocol");
    if (offered.includes(tunnelProtocol)) {
      const serve = (socket: StreamSocket) => serveTunnel(forwarding, socket, clock);
      return { protocol: tunnelProtocol, serve };
    }
    const kind = chosen(portProtocols, offered);
    const ports = portsOf(query.getAll("ports"));
    return {
      protocol: kind.name,
      serve: (socket) => servePorts(forwarding, ports, kind, socket),
    };
  }
  const options = sessionOptions(subresource, target);
  const session = await openSession(serving, call, pods, subresource, verb, options);
  if (isSpdy(request)) {
    const protocol = spdyProtocol(request, spdySessionProtocols);
    return {
      protocol,
      serve: (socket) => serveSpdySession(session, options, protocol, socket, clock, begun),
    };
  }
  const kind = chosen(sessionProtocols, protocolsOf(request, "sec-websocket-protocol"));
  return {
    protocol: kind.name,
    serve: (socket) => serveSession(session, options, kind, socket, begun),
  };
}

function targetOf(request: IncomingMessage): Target {
  const [path, query] = splitOnce(request.url ?? "", "?");
  const match = pathShape.exec(path);
  const [, namespace = "", name = "", subresource] = match ?? [];
  if (subresource === undefined) {
    throw badRequest(`no upgrade is served at ${JSON.stringify(path.slice(0, pathLengthTold))}`);
  }
  const { method } = request;
  if (method !== "GET" && method !== "POST") {
    throw methodNotAllowed("the server does not allow this method on the requested resource");
  }
  return {
    namespace: decoded(namespace),
    name: decoded(name),
    subresource: subresource as Subresource,
    query: new URLSearchParams(query),
    verb: method === "GET" ? "get" : "create",
  };
}

const pathLengthTold = 200;

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw badRequest(`the path part ${JSON.stringify(part)} is not percent-encoded UTF-8`);
  }
}

function protocolsOf(request: IncomingMessage, header: string): readonly string[] {
  return (request.headersDistinct[header] ?? [])
    .flatMap((value) => value.split(","))
    .map((each) => each.trim())
    .filter((each) => each !== "");
}

/** True: SPDY/3.1; false: WebSocket. Throws BadRequest for anything else. */
function isSpdy(request: IncomingMessage): boolean {
  const upgrade = (request.headers.upgrade ?? "").toLowerCase();
  if (upgrade === "spdy/3.1") return true;
  if (upgrade === "websocket") return false;
  const told = JSON.stringify(upgrade.slice(0, pathLengthTold));
  throw badRequest(`upgrades to ${told} are not served, only those to websocket and SPDY/3.1`);
}

/** The server's best of those that the client speaks. Throws Forbidden, in upstream's words. */
function spdyProtocol(request: IncomingMessage, served: readonly string[]): string {
  const offered = protocolsOf(request, "x-stream-protocol-version");
  const found = served.find((name) => offered.includes(name));
  if (found !== undefined) return found;
  throw new StatusError(
    Code.permissionDenied,
    `unable to upgrade: unable to negotiate protocol: client supports [${offered.join(" ")}], ` +
      `server accepts [${served.join(" ")}]`,
  );
}

/** The first of the client's that is served. Throws BadRequest. */
function chosen(served: readonly ChannelProtocol[], offered: readonly string[]): ChannelProtocol {
  const wanted = offered.length > 0 ? offered : [""];
  for (const name of wanted) {
    const found = served.find((each) => each.name === name);
    if (found !== undefined) return found;
  }
  const names = served.map(({ name }) => name).filter((name) => name !== "");
  throw badRequest(
    `requested protocol(s) are not supported: [${offered.join(" ")}]; ` +
      `supports [${names.join(" ")}]`,
  );
}

function accept(
  server: WebSocketServer,
  serving: NodeServing,
  { protocol, serve }: Prepared,
  { request, socket, head }: { request: IncomingMessage; socket: Duplex; head: Buffer },
): void {
  if (socket.destroyed) return;
  const begin = (stream: StreamSocket) => {
    const stop = () => stream.close(CloseCode.goingAway, "the apiserver stops");
    serving.stopping.addEventListener("abort", stop, { once: true });
    serve(stream)
      .catch((error: unknown) => {
        serving.backend.log.error("a stream failed unexpectedly", { error });
        stream.close(CloseCode.internalError, "internal error");
      })
      .finally(() => serving.stopping.removeEventListener("abort", stop));
  };
  if (isSpdy(request)) {
    const lines = ["Connection: Upgrade", "Upgrade: SPDY/3.1"];
    const chosenLine = `X-Stream-Protocol-Version: ${protocol}`;
    const all = ["HTTP/1.1 101 Switching Protocols", ...lines, chosenLine, "", ""];
    socket.write(all.join("\r\n"));
    begin(new RawSocket(socket, head));
    return;
  }
  delete request.headers["sec-websocket-protocol"];
  protocolChosen.set(request, protocol);
  server.handleUpgrade(request, socket, head, (webSocket: WebSocket) =>
    begin(new BoundedSocket(webSocket, serving.backend.clock)),
  );
}

/**
 * Connections that leave HTTP: exec, attach and port-forward of pods. Everything is checked before
 * the upgrade, so that a refusal is an ordinary answer; what only the kubelet can find out comes
 * after it, on the error channel, as from upstream's apiserver.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { badRequest, methodNotAllowed, tooManyRequests } from "../../../errors.ts";
import { limits } from "../../../limits.ts";
import { openSession, sessionOptions } from "../../../nodes/exec.ts";
import { openForwarding } from "../../../nodes/port-forward.ts";
import type { NodeServing } from "../../../nodes/types.ts";
import { type Call, internalCall } from "../../../verbs/call.ts";
import { type OnUpgrade, writeError } from "../http1.ts";
import { type ChannelProtocol, portProtocols, sessionProtocols } from "./channels.ts";
import { portsOf, servePorts } from "./ports.ts";
import { serveSession } from "./session.ts";
import { BoundedSocket, CloseCode, type StreamSocket } from "./socket.ts";
import { serveTunnel } from "./tunnel.ts";

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
  /** What is answered as Sec-WebSocket-Protocol; "": nothing. */
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
  return (request, socket, head, user) => {
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
    prepare(serving, call, request, () => began.value)
      .then((prepared) => accept(server, serving, prepared, { request, socket, head }))
      .catch((thrown: unknown) => {
        if (!socket.destroyed) writeError(socket, thrown);
      });
  };
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
  const offered = protocolsOf(request);
  if (subresource === "portforward") {
    const forwarding = await openForwarding(serving, call, pods, verb, { name, namespace });
    requireWebSocket(request);
    if (offered.includes(tunnelProtocol)) {
      const { clock } = serving.backend;
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
  requireWebSocket(request);
  const kind = chosen(sessionProtocols, offered);
  return {
    protocol: kind.name,
    serve: (socket) => serveSession(session, options, kind, socket, begun),
  };
}

function targetOf(request: IncomingMessage): Target {
  const [path = "", query = ""] = splitOnce(request.url ?? "", "?");
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

function protocolsOf(request: IncomingMessage): readonly string[] {
  const header = request.headers["sec-websocket-protocol"] ?? "";
  return header
    .split(",")
    .map((each) => each.trim())
    .filter((each) => each !== "");
}

function requireWebSocket(request: IncomingMessage): void {
  const upgrade = request.headers.upgrade ?? "";
  if (upgrade.toLowerCase() === "websocket") return;
  throw badRequest(
    `upgrades to ${JSON.stringify(upgrade.slice(0, pathLengthTold))} are not served: connect by ` +
      "WebSocket (v5.channel.k8s.io, or SPDY/3.1+portforward.k8s.io to forward ports), as kubectl " +
      "and client-go do since 1.31",
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
  delete request.headers["sec-websocket-protocol"];
  protocolChosen.set(request, protocol);
  server.handleUpgrade(request, socket, head, (webSocket: WebSocket) => {
    const bounded = new BoundedSocket(webSocket, serving.backend.clock);
    const stop = () => bounded.close(CloseCode.goingAway, "the apiserver stops");
    serving.stopping.addEventListener("abort", stop, { once: true });
    serve(bounded)
      .catch((error: unknown) => {
        serving.backend.log.error("a stream failed unexpectedly", { error });
        bounded.close(CloseCode.internalError, "internal error");
      })
      .finally(() => serving.stopping.removeEventListener("abort", stop));
  });
}

/**
 * Connections that a client upgrades through the proxy of a node, a pod or a service: once the
 * caller may go there, both ends are joined, and the other end answers the upgrade itself.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { StatusError } from "../../../../../ha/runtime/status-error.ts";
import { unavailable } from "../../../errors.ts";
import { limits } from "../../../limits.ts";
import { openUpgraded } from "../../../nodes/proxy.ts";
import type { NodeServing } from "../../../nodes/types.ts";
import type { Call } from "../../../verbs/call.ts";
import { parseTarget, type ResourceTarget } from "../target.ts";

/** What a request asks of a proxy; undefined: it is about something else. Throws BadRequest. */
export function proxyTargetOf({ method = "GET", url = "/" }: IncomingMessage) {
  const target = parseTarget(method, url);
  if (target.kind !== "resource" || target.subresource !== "proxy") return undefined;
  const known = target.group === "" && proxies.has(target.plural);
  return known ? target : undefined;
}

const proxies: ReadonlyMap<string, string> = new Map([
  ["nodes", "Node"],
  ["pods", "Pod"],
  ["services", "Service"],
]);

/** Resolves when the other end has begun to answer. Rejects with what refuses the request. */
export async function serveProxied(
  serving: NodeServing,
  call: Call,
  target: ResourceTarget,
  client: { readonly request: IncomingMessage; readonly socket: Duplex; readonly head: Buffer },
): Promise<void> {
  const { request, socket, head } = client;
  const { verb, namespace, name, rest, query, version, plural } = target;
  const resource = serving.backend.registry.required(version, proxies.get(plural) ?? "");
  const connection = await openUpgraded(serving, call, {
    ...{ resource, verb, namespace, name, rest, query, body: new Uint8Array() },
    headers: (header) => request.headersDistinct[header] ?? [],
  });
  socket.once("close", () => connection.destroy());
  await begun(connection);
  const stop = () => socket.destroy();
  serving.stopping.addEventListener("abort", stop, { once: true });
  connection.once("close", () => {
    serving.stopping.removeEventListener("abort", stop);
    socket.end();
  });
  if (head.length > 0) connection.write(head);
  socket.pipe(connection);
  connection.pipe(socket);
}

/** The first bytes have come, and are still to be read. */
function begun(connection: Duplex): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error) => {
      clearTimeout(timer);
      connection.destroy();
      const { message } = StatusError.from(error);
      reject(unavailable(`error trying to reach service: ${message}`));
    };
    const timer = setTimeout(
      () => failed(new Error("no answer came in time")),
      limits.requestTimeoutMillis,
    );
    const ended = () => failed(new Error("the connection was closed without an answer"));
    connection.once("error", failed);
    connection.once("end", ended);
    connection.on("readable", function heard() {
      if (connection.readableLength === 0) {
        // An end is told only to a reader that has asked.
        connection.read();
        return;
      }
      clearTimeout(timer);
      connection.off("readable", heard);
      connection.off("end", ended);
      connection.off("error", failed);
      connection.on("error", () => connection.destroy());
      resolve();
    });
  });
}

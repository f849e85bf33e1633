/**
 * A connection that a client upgrades (exec, attach, port-forward): one master gets it whole.
 *
 * The request goes to the master over a connection of its own by HTTP/1.1. Until the master agrees
 * (101), nothing else of the client goes there: the master takes the balancer's word for who is
 * calling, and must not take the client's bytes for a further request of the balancer.
 */
import { type ClientRequest, type IncomingMessage, request as requestHttp1 } from "node:http";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { type ClientTls, parseAddress } from "../rpc/address.ts";
import { Code } from "../runtime/status-error.ts";
import { traceparentHeader } from "../runtime/trace.ts";
import type { ActiveCall, CallContext } from "./call-context.ts";
import type { QueuedCall } from "./call-queue.ts";
import { CallTrace } from "./call-trace.ts";
import type { Master } from "./master.ts";
import { restErrorOf } from "./rest-errors.ts";
import { refuseUpgrade, type Upgrade } from "./rest-http1.ts";

export class Tunnel implements ActiveCall, QueuedCall {
  place = -1;
  readonly #upgrade: Upgrade;
  readonly #context: CallContext;
  readonly #tls: ClientTls | undefined;
  #master: Master | undefined;
  #request: ClientRequest | undefined;
  #far: Socket | undefined;
  #attempts = 0;
  #waits = false;
  #over = false;
  #suspicion: NodeJS.Timeout | undefined;
  readonly #trace: CallTrace | undefined;

  constructor(upgrade: Upgrade, context: CallContext, tls: ClientTls | undefined) {
    this.#upgrade = upgrade;
    this.#context = context;
    this.#tls = tls;
    this.#trace = context.tracer && CallTrace.of(context.tracer, upgrade.head);
    context.active.add(this);
    const { socket } = upgrade;
    socket.on("error", () => this.#end());
    socket.on("close", () => this.#end());
    socket.setKeepAlive(true, context.limits.clientPingMillis);
    if (upgrade.refusal === undefined) this.#place();
    else this.#refuse(Code.unauthenticated, upgrade.refusal);
  }

  tryAgain(): boolean {
    if (this.#over) return true;
    const choice = this.#context.fleet.choose("streams", this.#master, "rest");
    if (choice === "none") return false;
    if (choice === "full") {
      this.#refuse(Code.resourceExhausted, "every master has as many calls as it takes");
      return true;
    }
    this.#attempts++;
    if (this.#attempts > 1) this.#context.counters.retries++;
    choice.attempts++;
    choice.streams++;
    this.#master = choice;
    this.#trace?.attempt(choice.name, this.#attempts);
    this.#dial(choice);
    return true;
  }

  gaveUp(): void {
    const { waitMillis } = this.#context.limits;
    this.#refuse(Code.unavailable, `no master is ready; waited ${waitMillis} ms`);
  }

  shutDown(message: string): void {
    this.#refuse(Code.unavailable, message);
  }

  /** What runs at the other end cannot be begun elsewhere; a master that was only busy keeps it. */
  suspected(master: Master): void {
    if (master !== this.#master) return;
    clearTimeout(this.#suspicion);
    this.#suspicion = setTimeout(() => {
      if (master.suspected) this.#refuse(Code.unavailable, `${master.name} does not answer`);
    }, this.#context.limits.suspectTunnelMillis);
  }

  #place(): void {
    if (this.tryAgain()) return;
    this.#waits = true;
    this.#context.counters.waits++;
    if (this.#context.queue.enter(this)) return;
    this.#refuse(Code.unavailable, "no master is ready, and too many calls wait for one");
  }

  #dial(master: Master): void {
    const { head, protocol } = this.#upgrade;
    const { host, port } = parseAddress(master.restAddress ?? "");
    const { httpMethod: method, path, fields, authority } = head.route;
    const headers = ["host", authority, ...fields, "connection", "Upgrade", "upgrade", protocol];
    const traceparent = this.#trace?.traceparent ?? head.traceparent;
    if (traceparent !== undefined) headers.push(traceparentHeader, traceparent);
    const tls = this.#tls;
    // One way or the other, the connection is this request's own.
    const createConnection = () =>
      tls === undefined
        ? connectTcp({ host, port })
        : connectTls({ host, port, ...tls, ALPNProtocols: ["http/1.1"] });
    let request: ClientRequest;
    try {
      request = requestHttp1({ method, path, headers, createConnection });
    } catch (error) {
      master.streams--;
      this.#refuse(Code.invalidArgument, `the request cannot be sent: ${(error as Error).message}`);
      return;
    }
    this.#request = request;
    let begun = false;
    const tooLong = setTimeout(
      () => request.destroy(new Error("not connected in time")),
      this.#context.limits.dialMillis,
    );
    request.on("socket", (socket) => {
      socket.once(tls === undefined ? "connect" : "secureConnect", () => {
        clearTimeout(tooLong);
        begun = true;
      });
    });
    request.on("upgrade", (response, far, rest) => this.#join(response, far as Socket, rest));
    request.on("response", (response) => this.#decline(response));
    request.on("error", (error) => {
      clearTimeout(tooLong);
      if (!this.#over && this.#request === request) this.#failed(master, begun, error);
    });
    request.end();
  }

  #failed(master: Master, begun: boolean, error: Error): void {
    const { log, limits } = this.#context;
    log.debug("upgrade failed", { master: master.name, begun, error: error.message });
    master.failures++;
    this.#trace?.attemptFailed({ kind: begun ? "lost" : "refused", scope: "connection", code: 0 });
    this.#leaveMaster();
    if (!begun && this.#attempts < limits.attempts) this.#place();
    else this.#refuse(Code.unavailable, `${master.name} went away`);
  }

  /** The master has agreed: from now on bytes go both ways, no faster than either side reads. */
  #join(response: IncomingMessage, far: Socket, rest: Buffer): void {
    const { socket, rest: sent } = this.#upgrade;
    if (this.#over) {
      far.destroy();
      return;
    }
    this.#far = far;
    far.setNoDelay(true);
    socket.write(headOf(response));
    if (rest.length > 0) socket.write(rest);
    if (sent.length > 0) far.write(sent);
    far.on("error", () => this.#end()).on("close", () => this.#end());
    relay(socket, far);
    relay(far, socket);
  }

  /** The master has said something else, and that is the end of it. */
  #decline(response: IncomingMessage): void {
    const { socket } = this.#upgrade;
    if (!socket.writable) return;
    socket.write(headOf(response, "close"));
    response.on("data", (piece: Buffer) => {
      if (!socket.write(piece)) response.pause();
    });
    socket.on("drain", () => response.resume());
    response.on("close", () => this.#end());
  }

  #refuse(code: Code, message: string): void {
    if (this.#over) return;
    this.#context.counters.refusals++;
    const { socket } = this.#upgrade;
    if (this.#far === undefined) {
      refuseUpgrade(socket, restErrorOf(code, message, this.#context.limits));
    } else {
      socket.destroy();
    }
    this.#end(message);
  }

  #leaveMaster(): void {
    this.#trace?.attemptOver();
    if (this.#master !== undefined && this.#request !== undefined) this.#master.streams--;
    this.#request = undefined;
  }

  #end(error?: string): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#suspicion);
    if (this.#waits) this.#context.queue.leave(this);
    this.#context.active.delete(this);
    const request = this.#request;
    this.#leaveMaster();
    this.#trace?.end(error);
    request?.destroy();
    this.#far?.destroy();
    this.#upgrade.socket.destroySoon();
  }
}

function relay(from: Socket, to: Socket): void {
  from.on("data", (piece: Buffer) => {
    if (!to.write(piece)) from.pause();
  });
  to.on("drain", () => from.resume());
  from.on("end", () => to.end());
}

/** Its status line and fields; `connection`: what it says of the connection instead. */
function headOf(response: IncomingMessage, connection?: string): string {
  const { statusCode, statusMessage, rawHeaders } = response;
  const lines = [`HTTP/1.1 ${statusCode} ${statusMessage ?? ""}`];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string;
    if (connection !== undefined && connectionFields.has(name.toLowerCase())) continue;
    lines.push(`${name}: ${rawHeaders[at + 1]}`);
  }
  if (connection !== undefined) lines.push(`Connection: ${connection}`);
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** The body of an answer is passed on without its framing, and ends with the connection. */
const connectionFields: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "transfer-encoding",
]);

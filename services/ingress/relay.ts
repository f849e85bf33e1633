/** One request on its way from a client to an endpoint, and the answer back. */
import {
  type Agent,
  type ClientRequest,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from "node:http";
import type { Socket } from "node:net";
import { type Incoming, type Outgoing, withoutHops } from "./heads.ts";
import { ingressLimits as limits } from "./limits.ts";

export interface Endpoint {
  readonly ip: string;
  readonly port: number;
}

/** One request on its way. */
export class Relay {
  readonly #request: Incoming;
  readonly #response: Outgoing;
  readonly #agent: Agent;
  readonly #refuse: (status: number, message: string) => void;
  readonly #answered: ((status: number) => void) | undefined;
  #done = false;

  constructor(
    request: Incoming,
    response: Outgoing,
    agent: Agent,
    refuse: (status: number, message: string) => void,
    answered: ((status: number) => void) | undefined,
  ) {
    this.#request = request;
    this.#response = response;
    this.#agent = agent;
    this.#refuse = refuse;
    this.#answered = answered;
  }

  send(endpoints: readonly Endpoint[], url: string, headers: IncomingHttpHeaders): void {
    const [endpoint, ...more] = endpoints;
    if (endpoint === undefined) {
      this.#fail(502, "no endpoint of the service takes connections");
      return;
    }
    const { ip: host, port } = endpoint;
    const { method } = this.#request;
    const upstream = httpRequest({ host, port, method, path: url, headers, agent: this.#agent });
    let connected = false;
    upstream.on("socket", (socket) => {
      const take = () => {
        clearTimeout(slow);
        connected = true;
        this.#pass(upstream);
      };
      const slow = setTimeout(() => upstream.destroy(new Error("too slow")), limits.connectMillis);
      upstream.on("close", () => clearTimeout(slow));
      if (socket.connecting) socket.once("connect", take);
      else take();
    });
    upstream.setTimeout(limits.backendSilenceMillis, () => {
      this.#fail(504, `the endpoint is silent for ${limits.backendSilenceMillis / 1000} seconds`);
      upstream.destroy();
    });
    upstream.on("response", (answer) => this.#answer(answer));
    upstream.on("error", () => {
      if (!connected && !this.#done) this.send(more, url, headers);
      else this.#fail(502, "the endpoint broke off");
    });
    this.#response.on("close", () => upstream.destroy());
  }

  #pass(upstream: ClientRequest): void {
    const request = this.#request;
    request.pipe(upstream);
    request.on("aborted", () => upstream.destroy());
    const socket = request.socket as Socket | undefined;
    socket?.setTimeout(limits.clientSilenceMillis);
  }

  #answer(answer: IncomingMessage): void {
    const response = this.#response;
    this.#done = true;
    const status = answer.statusCode ?? 502;
    this.#answered?.(status);
    if (response.headersSent || response.writableEnded) {
      answer.destroy();
      return;
    }
    writeHead(response, status, withoutHops(answer.headers));
    // Both kinds of response are writable streams; their common type says less.
    answer.pipe(response as NodeJS.WritableStream);
    answer.on("error", () => response.destroy());
    answer.on("aborted", () => response.destroy());
  }

  #fail(status: number, message: string): void {
    if (this.#done) {
      this.#response.destroy();
      return;
    }
    this.#done = true;
    this.#refuse(status, message);
  }
}

export function refuseWith(response: Outgoing, status: number, message: string): void {
  if (response.headersSent || response.writableEnded) return;
  writeHead(response, status, {
    "content-type": "text/plain; charset=utf-8",
    ...(status === 503 && { "retry-after": "1" }),
  });
  response.end(`${message}\n`);
}

/** The two kinds of response have the same method, but no type in common. */
function writeHead(response: Outgoing, status: number, headers: OutgoingHttpHeaders): void {
  if ("stream" in response) response.writeHead(status, headers);
  else response.writeHead(status, headers);
}

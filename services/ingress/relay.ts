/** One request on its way from a client to an endpoint, and the answer back. */
import {
  type Agent,
  type ClientRequest,
  request as httpRequest,
  type IncomingHttpHeaders,
  IncomingMessage,
} from "node:http";
import type { H2cCall, H2cSessions } from "./h2c.ts";
import { type Incoming, isPlain, type Outgoing, withoutHops } from "./heads.ts";
import { ingressLimits as limits } from "./limits.ts";

export interface Endpoint {
  readonly ip: string;
  readonly port: number;
  /** It speaks HTTP/2 without TLS. */
  readonly h2c?: boolean;
}

/** The connections to endpoints. */
export interface Upstreams {
  readonly agent: Agent;
  readonly sessions: H2cSessions;
}

const silent = `the endpoint is silent for ${limits.backendSilenceMillis / 1000} seconds`;

/** One request on its way. */
export class Relay {
  readonly #request: Incoming;
  readonly #response: Outgoing;
  readonly #upstreams: Upstreams;
  readonly #refuse: (status: number, message: string) => void;
  readonly #answered: ((status: number) => void) | undefined;
  #done = false;

  constructor(
    request: Incoming,
    response: Outgoing,
    upstreams: Upstreams,
    refuse: (status: number, message: string) => void,
    answered: ((status: number) => void) | undefined,
  ) {
    this.#request = request;
    this.#response = response;
    this.#upstreams = upstreams;
    this.#refuse = refuse;
    this.#answered = answered;
  }

  send(endpoints: readonly Endpoint[], url: string, headers: IncomingHttpHeaders): void {
    const [endpoint, ...more] = endpoints;
    if (endpoint === undefined) {
      this.#fail(502, "no endpoint of the service takes connections");
      return;
    }
    if (endpoint.h2c) {
      void this.#sendOver([endpoint, ...more], url, headers);
      return;
    }
    const { ip: host, port } = endpoint;
    const { method } = this.#request;
    const { agent } = this.#upstreams;
    const upstream = httpRequest({ host, port, method, path: url, headers, agent });
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
      this.#fail(504, silent);
      upstream.destroy();
    });
    upstream.on("response", (answer) => this.#answer(answer));
    upstream.on("error", () => {
      if (!connected && !this.#done) this.send(more, url, headers);
      else this.#fail(502, "the endpoint broke off");
    });
    this.#response.on("close", () => upstream.destroy());
  }

  /** With the trailers of both sides, in which gRPC says how a call has ended. */
  async #sendOver(
    [endpoint, ...more]: readonly [Endpoint, ...Endpoint[]],
    url: string,
    headers: IncomingHttpHeaders,
  ): Promise<void> {
    const response = this.#response;
    const { host = "", ...fields } = headers;
    const takesTrailers = /\btrailers\b/i.test(String(this.#request.headers.te ?? ""));
    const head = {
      ...{ ":method": this.#request.method, ":scheme": "http", ":authority": host, ":path": url },
      ...fields,
      ...(takesTrailers && { te: "trailers" }),
    };
    const call = await this.#upstreams.sessions.call(endpoint, head, {
      head: (status, { ":status": _, ...answer }) => {
        if (!isPlain(answer)) return this.#fail(502, "the endpoint's answer is malformed");
        this.#done = true;
        this.#answered?.(status);
        response.writeHead(status, withoutHops(answer));
      },
      trailers: (trailers) => {
        if (isPlain(trailers)) response.addTrailers(trailers as { [name: string]: string });
        else response.destroy();
      },
    });
    if (call === undefined) return this.send(more, url, headers);
    if (response.destroyed) return void call.destroy();
    call.watchSilence(limits.backendSilenceMillis, () => {
      this.#fail(504, silent);
      call.destroy();
    });
    call.pipe(response as NodeJS.WritableStream);
    call.on("close", () => {
      if (!call.readableEnded) this.#fail(502, "the endpoint broke off");
    });
    response.on("close", () => call.destroy());
    this.#pass(call);
  }

  #pass(upstream: ClientRequest | H2cCall): void {
    const request = this.#request;
    request.pipe(upstream);
    request.on("aborted", () => upstream.destroy());
    // Those of HTTP/2 are watched by their own streams.
    if (request instanceof IncomingMessage) request.socket.setTimeout(limits.clientSilenceMillis);
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
    response.writeHead(status, withoutHops(answer.headers));
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
  response.writeHead(status, {
    "content-type": "text/plain; charset=utf-8",
    ...(status === 503 && { "retry-after": "1" }),
  });
  response.end(`${message}\n`);
}

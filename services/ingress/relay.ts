/** One request on its way from a client to an endpoint, and the answer back. */
import {
  type Agent,
  type ClientRequest,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from "node:http";
import { type ClientHttp2Session, type ClientHttp2Stream, constants as http2 } from "node:http2";
import type { Socket } from "node:net";
import type { H2cSessions } from "./h2c.ts";
import { type Incoming, type Outgoing, withoutHops } from "./heads.ts";
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
      this.#upstreams.sessions.open(endpoint).then(
        (session) => this.#sendOver(session, url, headers),
        () => this.send(more, url, headers),
      );
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
  #sendOver(session: ClientHttp2Session, url: string, headers: IncomingHttpHeaders): void {
    const response = this.#response;
    if (response.destroyed) return;
    const { host = "", ...fields } = headers;
    const takesTrailers = /\btrailers\b/i.test(String(this.#request.headers.te ?? ""));
    const stream = session.request(
      {
        ...fields,
        ...{ ":method": this.#request.method, ":path": url, ":authority": host },
        ...(takesTrailers && { te: "trailers" }),
      },
      { endStream: false },
    );
    stream.setTimeout(limits.backendSilenceMillis, () => {
      this.#fail(504, silent);
      stream.close(http2.NGHTTP2_CANCEL);
    });
    stream.on("response", ({ ":status": status = 502, ...answer }) => {
      this.#done = true;
      this.#answered?.(status);
      writeHead(response, status, withoutHops(answer as IncomingHttpHeaders));
      stream.pipe(response as NodeJS.WritableStream, { end: false });
    });
    stream.on("trailers", (trailers) => {
      response.addTrailers(trailers as OutgoingHttpHeaders as { [name: string]: string });
    });
    stream.on("error", () => undefined); // "close" follows
    stream.on("close", () => {
      if (this.#done && stream.rstCode === http2.NGHTTP2_NO_ERROR) response.end();
      else this.#fail(502, "the endpoint broke off");
    });
    response.on("close", () => stream.close(http2.NGHTTP2_CANCEL));
    this.#pass(stream);
  }

  #pass(upstream: ClientRequest | ClientHttp2Stream): void {
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

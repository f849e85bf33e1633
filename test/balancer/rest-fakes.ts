/** Masters that speak REST, for the balancer's tests: Node's own HTTP server with a memory. */

import { type IncomingMessage, request as requestHttp1 } from "node:http";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import { Server as NetServer, type Socket } from "node:net";
import { afterEach } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { ClientTls, ServerTls } from "../../ha/rpc/mod.ts";
import { eventually } from "../patience.ts";
import { createCa, type Pem, type TestCa } from "../rpc/certs.ts";
import { type Cluster, type FakeMaster, startCluster, startWire } from "./fakes.ts";

export interface RestSeen {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Name of the balancer's certificate. */
  readonly peer: string;
}

type Reply = Http2ServerResponse;

let latest: RestSeen | undefined;

/** The request that came last, to whichever master. */
export function lastSeen(): RestSeen {
  if (latest === undefined) throw new Error("no request has come");
  return latest;
}

class FakeRest {
  readonly master: FakeMaster;
  readonly seen: RestSeen[] = [];
  /** By default a request is answered with the master's name. */
  handle: (seen: RestSeen, reply: Reply, request: Http2ServerRequest) => void;
  upgrade: (request: IncomingMessage, socket: Socket, rest: Buffer) => void = (_, socket) => {
    socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
  };
  port = 0;
  readonly #tls: ServerTls;
  readonly #sockets = new Set<Socket>();
  #server: Http2SecureServer | undefined;

  constructor(master: FakeMaster, tls: ServerTls) {
    this.master = master;
    this.#tls = tls;
    this.handle = (_, reply) => {
      reply.writeHead(200, { "content-type": "application/json" });
      reply.end(JSON.stringify({ master: master.name }));
    };
  }

  async start(): Promise<void> {
    const { cert, key, clientCa: ca } = this.#tls;
    const server = createSecureServer({ cert, key, ca, requestCert: true, allowHTTP1: true });
    this.#server = server;
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket)).on("error", () => {});
    });
    server.on("sessionError", () => {}).on("error", () => {});
    server.on("request", (request, reply) => this.#take(request, reply));
    server.on("upgrade", (request: IncomingMessage, socket: Socket, rest: Buffer) =>
      this.upgrade(request, socket, rest),
    );
    await new Promise<void>((resolve) => server.listen(this.port, "127.0.0.1", resolve));
    const address = server.address();
    this.port = address !== null && typeof address === "object" ? address.port : 0;
  }

  /** Takes no new connections; the present ones go on. */
  async refuse(): Promise<void> {
    const server = this.#server;
    if (server !== undefined) NetServer.prototype.close.call(server);
    await eventually("it does not listen", () => server?.listening === false);
  }

  /** Every connection breaks at once, as when the process is killed. */
  async kill(): Promise<void> {
    if (this.#server?.listening === true) this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #take(request: Http2ServerRequest, reply: Reply): void {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("error", () => {});
    reply.on("error", () => {});
    const peer = (request.socket as TLSSocket).getPeerCertificate().subject?.CN;
    request.on("end", () => {
      const { method, url: path, headers } = request;
      const body = Buffer.concat(chunks);
      const seen = { method, path, headers, body, peer: String(peer ?? "") };
      this.seen.push(seen);
      latest = seen;
      this.handle(seen, reply, request);
    });
  }
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** A client over HTTP/2. */
export class RestClient {
  readonly session: ClientHttp2Session;

  constructor(port: number, tls: ClientTls) {
    this.session = connect(`https://127.0.0.1:${port}`, { ...tls });
    this.session.on("error", () => {});
  }

  open(method: string, path: string, headers: OutgoingHttpHeaders = {}): ClientHttp2Stream {
    return this.session.request(
      { ":method": method, ":path": path, ...headers },
      { endStream: false },
    );
  }

  /** Rejects when the answer breaks off. */
  ask(
    method: string,
    path: string,
    { headers = {}, body }: { headers?: OutgoingHttpHeaders; body?: string | Buffer } = {},
  ): Promise<Answer> {
    const stream = this.open(method, path, headers);
    stream.end(body);
    return answerOf(stream);
  }

  close(): void {
    this.session.destroy();
  }
}

export function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let headers: IncomingHttpHeaders = {};
    const chunks: Buffer[] = [];
    stream.on("response", (got) => {
      headers = got;
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", reject);
    stream.on("end", () => {
      // After a reset, "error" follows.
      const status = Number(headers[":status"]);
      const text = Buffer.concat(chunks).toString();
      if (stream.rstCode === 0) resolve({ status, headers, text });
    });
  });
}

/** One request over HTTP/1.1, on a connection of its own. */
export async function askHttp1(
  port: number,
  tls: ClientTls,
  {
    method = "GET",
    path,
    headers = {},
    body = "",
  }: { method?: string; path: string; headers?: Record<string, string>; body?: string },
): Promise<Answer> {
  const createConnection = () =>
    connectTls({ host: "127.0.0.1", port, ...tls, ALPNProtocols: ["http/1.1"] });
  return new Promise((resolve, reject) => {
    const request = requestHttp1({ method, path, headers, createConnection });
    request.on("error", reject);
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
      });
    });
    request.end(body);
  });
}

export interface RestCluster {
  readonly cluster: Cluster;
  readonly masters: Cluster["masters"];
  readonly rests: [FakeRest, FakeRest, FakeRest];
  readonly balancer: Cluster["balancer"];
  readonly ca: TestCa;
  readonly port: number;
  /** Of jane, of the groups devs and testers. */
  readonly client: RestClient;
  connect(pair?: Pem): RestClient;
  /** With wires between the balancer and the masters: the master's process stops, or goes on. */
  freeze(master: number): void;
  thaw(master: number): void;
  /** The master's process is killed, and answers on neither port any more. */
  kill(master: number): Promise<void>;
  stop(): Promise<void>;
}

export interface RestClusterOptions {
  readonly limits?: NonNullable<Parameters<typeof startCluster>[0]>["limits"];
  /** Between the balancer and the masters are wires that freeze. */
  readonly wires?: boolean;
}

export async function startRestCluster({
  limits,
  wires = false,
}: RestClusterOptions = {}): Promise<RestCluster> {
  const ca = await createCa();
  const tls = { ...(await ca.server()), clientCa: ca.ca };
  const proxy = await ca.client("front-proxy");
  const jane = await ca.client("jane", ["devs", "testers"]);
  const rests: FakeRest[] = [];
  const lines: Awaited<ReturnType<typeof startWire>>[][] = [];
  const wired = async (each: { readonly port: number }, at: number) => {
    if (!wires) return each.port;
    const wire = await startWire(each);
    lines[at] = [...(lines[at] ?? []), wire];
    return wire.port;
  };
  const cluster = await startCluster({
    tls,
    masterTls: tls,
    upstreamTls: { ca: ca.ca, ...proxy },
    ...(limits !== undefined && { limits }),
    portOf: (master) => wired(master, Number(master.name.at(-1))),
    async restPortOf(master) {
      const rest = new FakeRest(master, tls);
      await rest.start();
      rests.push(rest);
      return wired(rest, rests.length - 1);
    },
  });
  const { balancer, masters } = cluster;
  await eventually("REST is served by all", () =>
    balancer.status().masters.every(({ restConnected }) => restConnected === true),
  );
  const port = balancer.restPort ?? 0;
  const clients: RestClient[] = [];
  const connectAs = (pair?: Pem) => {
    const client = new RestClient(port, { ca: ca.ca, ...pair });
    clients.push(client);
    return client;
  };
  return {
    ...{ cluster, masters, balancer, ca, port, connect: connectAs },
    rests: rests as [FakeRest, FakeRest, FakeRest],
    client: connectAs(jane),
    freeze: (at) =>
      lines[at]?.forEach((wire) => {
        wire.freeze();
      }),
    thaw: (at) =>
      lines[at]?.forEach((wire) => {
        wire.thaw();
      }),
    async kill(at) {
      await Promise.all([masters[at]?.kill(), rests[at]?.kill()]);
    },
    async stop() {
      for (const client of clients) client.close();
      await cluster.stop();
      for (const rest of rests) await rest.kill();
      for (const wire of lines.flat()) wire.close();
    },
  };
}

/** A function that starts a cluster, which ends with the test. */
export function useRestCluster(): typeof startRestCluster {
  let running: RestCluster | undefined;
  afterEach(async () => {
    await running?.stop();
    running = undefined;
  });
  return async (options) => {
    running = await startRestCluster(options);
    return running;
  };
}

/** The port of the REST API: HTTP/2 and HTTP/1.1 over TLS, told apart by ALPN. */
import { attachSocket } from "../../../../ha/http2/mod.ts";
import { DeadlineWheel, Listener, RequestBytes, type ServerTls } from "../../../../ha/rpc/mod.ts";
import type { Log } from "../../../../ha/runtime/types.ts";
import { limits } from "../../limits.ts";
import { OpenApi } from "../../openapi/mod.ts";
import type { Readiness } from "../grpc/cluster.ts";
import type { Face } from "../grpc/face.ts";
import { jsonResponse } from "./answers.ts";
import { Discovery } from "./discovery.ts";
import { restHandler, userOf } from "./handle.ts";
import { addHealthPaths } from "./health-paths.ts";
import { Http1Transport, type OnUpgrade } from "./http1.ts";
import { RestSession, type SessionOptions } from "./http2.ts";
import { addOpenApiPaths } from "./openapi-paths.ts";
import { PathTable, rootPaths } from "./paths.ts";
import { versionDocument } from "./version.ts";

/** What one client may take; default: limits.ts. */
export interface RestBounds {
  /** How long a request's head (HTTP/1.1) and its body may take to come. */
  readonly headMillis?: number | undefined;
  readonly bodyMillis?: number | undefined;
  readonly maxConnections?: number | undefined;
}

export interface RestServerOptions extends RestBounds {
  readonly face: Face;
  readonly readiness: Readiness;
  readonly log: Log;
  /** Absent: plaintext, for loopback only. */
  readonly tls?: ServerTls | undefined;
  readonly onUpgrade?: OnUpgrade | undefined;
}

export class RestServer {
  /** What is served beside resources and discovery; others may add to it before `listen`. */
  readonly paths = new PathTable();
  readonly #listener: Listener;
  readonly #http1: Http1Transport;
  readonly #openApi: OpenApi;
  readonly #sessions = new Set<RestSession>();

  constructor(options: RestServerOptions) {
    const { face, log, readiness } = options;
    const { headMillis = limits.restHeadMillis, bodyMillis = limits.restBodyMillis } = options;
    const discovery = new Discovery(face.backend.registry);
    const { paths } = this;
    const version = versionDocument();
    paths.add("/version", () => jsonResponse(version));
    paths.add(
      "/",
      rootPaths(() => [...discovery.paths, ...paths.paths]),
    );
    addHealthPaths(paths, { readiness, store: face.backend.store });
    this.#openApi = new OpenApi(face.backend.registry);
    addOpenApiPaths(paths, this.#openApi);
    const handle = restHandler({ face, discovery, paths });
    const bodies = new RequestBytes(limits.restBodiesBytes, "this server");
    const deadlines = new DeadlineWheel();
    this.#http1 = new Http1Transport({
      ...{ log, handle, bodies, headMillis, bodyMillis, onUpgrade: options.onUpgrade },
      userOf: (request) => userOf(face, request),
    });
    const session: SessionOptions = { log, handle, bodies, deadlines, bodyMillis };
    this.#listener = new Listener(
      {
        ...{ log, tls: options.tls, preferHttp2: true },
        maxConnections: options.maxConnections ?? limits.restConnections,
        http1: (socket, peer) => this.#http1.accept(socket, peer),
      },
      (socket, peer) => {
        const made = new RestSession(session, socket, peer);
        this.#sessions.add(made);
        socket.on("close", () => this.#sessions.delete(made));
        attachSocket(made.connection, socket);
      },
    );
  }

  listen(address: { readonly host: string; readonly port: number }): Promise<{ port: number }> {
    return this.#listener.listen(address);
  }

  /** No new connections or requests; those under way get `graceMillis` to end. */
  async drain(graceMillis: number): Promise<void> {
    this.#listener.stop();
    for (const { connection } of this.#sessions) connection.shutdown();
    this.#http1.drain();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => this.#listener.destroyConnections(), graceMillis);
      this.#listener.whenEmpty(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  async close(): Promise<void> {
    this.#openApi.close();
    this.#listener.stop();
    this.#http1.close();
    this.#listener.destroyConnections();
    await new Promise<void>((resolve) => this.#listener.whenEmpty(resolve));
  }
}

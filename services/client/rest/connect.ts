/** Connects to any Kubernetes apiserver. */
import { readFileSync } from "node:fs";
import type { ServerTls } from "../../../ha/http2/client/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { createClient, type TriremeClient } from "../client.ts";
import type { HttpAnswer, HttpRequest, HttpServer } from "./http.ts";
import { Http1Server } from "./http1.ts";
import { Http2Server } from "./http2.ts";
import { kubernetesAccess } from "./kubeconfig.ts";
import { RestTransport } from "./transport.ts";

export interface RestOptions {
  /** A kubeconfig file, whose current context is followed; absent: no credentials. */
  readonly kubeconfig?: string | undefined;
  /** URL of the server; default: that of the kubeconfig. */
  readonly master?: string | undefined;
  /** The program: the manager of the fields that it writes. */
  readonly program: string;
}

/** A token's file is read anew after so long, as client-go does. */
const tokenMillis = 60_000;

/**
 * Throws a StatusError for files and addresses that cannot be used; whether the server answers is
 * found out by the first call.
 */
export function connectRest({ kubeconfig, master, program }: RestOptions): TriremeClient {
  const access = kubeconfig === undefined ? undefined : kubernetesAccess(kubeconfig);
  const server = serverOf(master ?? access?.server ?? "", access?.tls ?? {});
  const token = tokenSource(access?.token, access?.tokenFile);
  return createClient(new RestTransport({ server, token, userAgent: `${program}/trireme` }));
}

function serverOf(url: string, tls: ServerTls): HttpServer {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new StatusError(Code.invalidArgument, `server "${url}": an https:// URL is wanted`);
  }
  const { protocol, hostname, port, pathname } = new URL(url);
  if (pathname !== "/") {
    throw new StatusError(Code.invalidArgument, `server "${url}": a path is not supported`);
  }
  const host = hostname.replace(/^\[|\]$/g, "");
  if (protocol === "http:") return new Http1Server({ host, port: Number(port || 80) });
  return new SecureServer({ host, port: Number(port || 443), tls });
}

/** HTTP/2, until the server is found to speak HTTP/1.1 alone. */
class SecureServer implements HttpServer {
  readonly #newer: Http2Server;
  readonly #older: Http1Server;

  constructor(address: { readonly host: string; readonly port: number; readonly tls: ServerTls }) {
    this.#newer = new Http2Server(address);
    this.#older = new Http1Server(address);
  }

  async request(request: HttpRequest): Promise<HttpAnswer> {
    if (!this.#newer.refusesHttp2) {
      try {
        return await this.#newer.request(request);
      } catch (thrown) {
        if (!this.#newer.refusesHttp2) throw thrown;
      }
    }
    return this.#older.request(request);
  }

  close(): void {
    this.#newer.close();
    this.#older.close();
  }
}

function tokenSource(token: string | undefined, file: string | undefined) {
  if (file === undefined) return () => token;
  let current = token;
  let readAt = performance.now();
  return () => {
    if (performance.now() - readAt < tokenMillis) return current;
    readAt = performance.now();
    try {
      current = readFileSync(file, "utf8").trim();
    } catch {
      // It is being written: the one before it is valid for a while yet.
    }
    return current;
  };
}

/**
 * A live page on loopback about the cluster that this process supervises.
 *
 *     const bridge = await startBridge({ port: 7442, … });
 *     print(bridge.url);
 *     bridge.update(facts);           // whenever something has changed
 *     bridge.ended("master-0", "was ended by SIGKILL");
 *     await bridge.close();
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import type { LoadTls } from "../load/client/mod.ts";
import { newToken, refusal } from "./access.ts";
import { type ClusterFacts, ClusterState, podsMax } from "./cluster-state.ts";
import { contentSecurityPolicy, type PageFile, readPageFiles } from "./page-files.ts";
import { Probe } from "./probe.ts";
import { RunError, Runs } from "./runs.ts";

export interface BridgeOptions {
  /** On 127.0.0.1; 0: any free one. */
  readonly port: number;
  readonly dataDirectory: string;
  /** Where reports of drills and loads are kept. */
  readonly reports: string;
  /** The balancers' gRPC addresses, and how an administrator reaches them. */
  readonly balancers: readonly string[];
  readonly tls: LoadTls;
}

export interface Bridge {
  /** With the token. */
  readonly url: string;
  /** So many pods are shown; of more it need not be told. */
  readonly podsMax: number;
  update(facts: ClusterFacts): void;
  /** A process of the cluster has ended. */
  ended(name: string, how: string): void;
  /** Attempts that a balancer has made so far, by master. */
  traffic(balancer: string, attempts: Readonly<Record<string, number>>): void;
  close(): Promise<void>;
}

const sampleMillis = 500;
const viewersMax = 16;
const bodyBytesMax = 4_096;
/** Changes within this time reach the page together. */
const pushMillis = 50;

/** Rejects with the server's error when it cannot listen. */
export async function startBridge(options: BridgeOptions): Promise<Bridge> {
  const bridge = new RunningBridge(options);
  await bridge.listen();
  return bridge;
}

class RunningBridge implements Bridge {
  readonly podsMax = podsMax;
  readonly #options: BridgeOptions;
  readonly #token = newToken();
  readonly #files: ReadonlyMap<string, PageFile> = readPageFiles();
  readonly #server: Server;
  readonly #state = new ClusterState();
  readonly #runs: Runs;
  readonly #viewers = new Set<ServerResponse>();
  readonly #attempts = new Map<string, Readonly<Record<string, number>>>();
  #before: { at: number; revision: number; attempts: Record<string, number> } | undefined;
  #probe: Probe | undefined;
  #sampler: NodeJS.Timeout | undefined;
  #push: NodeJS.Timeout | undefined;
  #port = 0;

  constructor(options: BridgeOptions) {
    this.#options = options;
    const { dataDirectory, reports: folder } = options;
    this.#runs = new Runs({ dataDirectory, folder, changed: () => this.#changed() });
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        if (!response.headersSent) answer(response, 500, { error: (error as Error).message });
        else response.destroy();
      });
    });
    this.#server.requestTimeout = 10_000;
    this.#server.maxConnections = 64;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/#token=${this.#token}`;
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ host: "127.0.0.1", port: this.#options.port, exclusive: true }, () => {
        const address = this.#server.address();
        this.#port = typeof address === "object" && address !== null ? address.port : 0;
        resolve();
      });
    });
  }

  update(facts: ClusterFacts): void {
    this.#state.update(facts);
    this.#changed();
  }

  ended(name: string, how: string): void {
    this.#state.ended(name, how);
    this.#changed();
  }

  traffic(balancer: string, attempts: Readonly<Record<string, number>>): void {
    this.#attempts.set(balancer, attempts);
  }

  async close(): Promise<void> {
    this.#unwatched();
    clearTimeout(this.#push);
    for (const viewer of this.#viewers) viewer.destroy();
    await this.#runs.close();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? "/").split("?")[0] ?? "/";
    const file = request.method === "GET" ? this.#files.get(path) : undefined;
    // The page itself is no secret; all that it shows is.
    const refused = refusal(request, this.#port, file === undefined ? this.#token : undefined);
    if (refused !== undefined) answer(response, refused.code, { error: refused.text });
    else if (file !== undefined) send(response, 200, file.type, file.text);
    else await this.#serveFacts(request, response, path);
  }

  async #serveFacts(request: IncomingMessage, response: ServerResponse, path: string) {
    const [, id] = /^\/runs\/(\d{1,9})(?:\/report)?$/.exec(path) ?? [];
    const { method } = request;
    if (method === "GET" && path === "/live") this.#view(response);
    else if (method === "POST" && path === "/runs") await this.#start(request, response);
    else if (method === "DELETE" && id !== undefined) {
      const found = this.#runs.interrupt(Number(id));
      answer(response, found ? 202 : 404, found ? {} : { error: `run ${id} is not running` });
    } else if (method === "GET" && id !== undefined && path.endsWith("/report")) {
      const report = this.#runs.report(Number(id));
      if (report === undefined) answer(response, 404, { error: `run ${id} has no report` });
      else send(response, 200, "text/html; charset=utf-8", report);
    } else answer(response, 404, { error: `there is no ${method} ${path}` });
  }

  async #start(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!/^application\/json\b/.test(request.headers["content-type"] ?? "")) {
      return answer(response, 415, { error: "the body must be application/json" });
    }
    if (Number(request.headers["content-length"] ?? bodyBytesMax + 1) > bodyBytesMax) {
      return answer(response, 413, { error: `the body may have ${bodyBytesMax} bytes` });
    }
    try {
      const id = this.#runs.start(JSON.parse(await text(request)));
      answer(response, 201, { id });
    } catch (error) {
      if (!(error instanceof RunError) && !(error instanceof SyntaxError)) throw error;
      answer(response, 400, { error: error.message });
    }
  }

  /** Lines of JSON, one for each change, for as long as the page is open. */
  #view(response: ServerResponse): void {
    if (this.#viewers.size >= viewersMax) {
      answer(response, 503, { error: `${viewersMax} pages are open already` });
      return;
    }
    send(response, 200, "application/x-ndjson", undefined);
    this.#viewers.add(response);
    response.once("close", () => {
      this.#viewers.delete(response);
      if (this.#viewers.size === 0) this.#unwatched();
    });
    if (this.#sampler === undefined) this.#watched();
    response.write(this.#picture(this.#state.samples));
  }

  #watched(): void {
    const { balancers, tls } = this.#options;
    this.#probe = new Probe(balancers, tls);
    this.#sampler = setInterval(() => this.#sample(), sampleMillis);
  }

  #unwatched(): void {
    clearInterval(this.#sampler);
    this.#sampler = undefined;
    this.#before = undefined;
    this.#probe?.close();
    this.#probe = undefined;
  }

  #sample(): void {
    const at = Date.now();
    const { revision } = this.#state;
    const attempts: Record<string, number> = {};
    for (const counts of this.#attempts.values()) {
      for (const [master, count] of Object.entries(counts)) {
        attempts[master] = (attempts[master] ?? 0) + count;
      }
    }
    const before = this.#before;
    this.#before = { at, revision, attempts };
    if (before === undefined || this.#probe === undefined) return;
    const seconds = (at - before.at) / 1_000;
    const rate = (now: number, then: number) => Math.max(0, Math.round((now - then) / seconds));
    const traffic = Object.entries(attempts).map(([master, count]) => {
      return [master, rate(count, before.attempts[master] ?? count)] as const;
    });
    const sample = {
      ...{ at, ...this.#probe.take(), traffic: Object.fromEntries(traffic) },
      writesPerSecond: rate(revision, before.revision),
    };
    this.#state.add(sample);
    this.#send([sample]);
  }

  #changed(): void {
    if (this.#viewers.size === 0) return;
    this.#push ??= setTimeout(() => this.#send([]), pushMillis);
  }

  #send(samples: ClusterState["samples"]): void {
    clearTimeout(this.#push);
    this.#push = undefined;
    const line = this.#picture(samples);
    for (const viewer of this.#viewers) {
      // A page that reads nothing is let go, and comes back by itself.
      if (viewer.writableLength > 1_000_000) viewer.destroy();
      else viewer.write(line);
    }
  }

  #picture(samples: ClusterState["samples"]): string {
    const { facts, events } = this.#state;
    const picture = { at: Date.now(), ...facts, events: events.slice(-50), samples };
    return `${JSON.stringify({ ...picture, runs: this.#runs.facts() })}\n`;
  }
}

function answer(response: ServerResponse, code: number, document: object): void {
  send(response, code, "application/json", JSON.stringify(document));
}

/** Without a text the answer stays open. */
function send(response: ServerResponse, code: number, type: string, body: string | undefined) {
  response.writeHead(code, {
    "content-type": type,
    "content-security-policy": contentSecurityPolicy,
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
  });
  if (body === undefined) response.flushHeaders();
  else response.end(body);
}

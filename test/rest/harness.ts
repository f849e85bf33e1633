/** The REST API over real sockets, on a store in memory. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect as http2Connect } from "node:http2";
import { request as http1Request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLocalStore } from "../../ha/store/mod.ts";
import type { Store } from "../../ha/store/types.ts";
import { type Apiserver, startApiserver } from "../../services/apiserver/apiserver.ts";
import { createAuthority, type KeyPair } from "../../services/apiserver/pki/mod.ts";
import { quietLog } from "../apiserver/harness.ts";
import { patienceMillis } from "../patience.ts";
import { memoryRuntime } from "../store/memory-runtime.ts";

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into documents of every shape.
  readonly json: any;
}

export interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** Who asks; default: the administrator; null: a client without a certificate. */
  readonly as?: KeyPair | null;
}

export type Protocol = "h2" | "http/1.1";
export const protocols: readonly Protocol[] = ["h2", "http/1.1"];

export interface RestWorld extends AsyncDisposable {
  readonly port: number;
  readonly ca: string;
  /** The authority's key in PEM. */
  readonly caKey: string;
  readonly admin: KeyPair;
  readonly server: Apiserver;
  readonly store: Store;
  user(name: string, ...groups: string[]): Promise<KeyPair>;
  /** For one more server on loopback. */
  serverPair(): Promise<KeyPair>;
  ask(path: string, ask?: Ask, protocol?: Protocol): Promise<Answer>;
}

/** On a store of its own, unless the options name one, which then stays open. */
export async function restWorld(
  options: Partial<Parameters<typeof startApiserver>[0]> = {},
): Promise<RestWorld> {
  const directory = await mkdtemp(join(tmpdir(), "trireme-rest-"));
  const authority = await createAuthority(directory);
  const caKey = await readFile(join(directory, "ca.key"), "utf8");
  const hosts = ["127.0.0.1", "localhost"];
  const serverPair = () => authority.issue({ commonName: "master-0", hosts, use: "server" });
  const { cert, key } = await serverPair();
  const user = (commonName: string, ...organizations: string[]) =>
    authority.issue({ commonName, organizations, use: "client" });
  const admin = await user("admin", "system:masters");
  const store = options.store ?? (await openLocalStore(memoryRuntime()));
  const closeStore = async () => {
    if (options.store === undefined) await store.close();
  };
  const server = await startApiserver({
    ...{ name: "master-0", store, log: quietLog },
    listen: { host: "127.0.0.1", port: 0 },
    https: { host: "127.0.0.1", port: 0 },
    tls: { cert, key, clientCa: authority.cert },
    ...options,
  }).catch(async (error) => {
    await closeStore();
    await rm(directory, { recursive: true });
    throw error;
  });
  const port = server.httpsPort as number;
  const world: RestWorld = {
    ...{ port, ca: authority.cert, caKey, admin, server, store, user, serverPair },
    ask: (path, ask = {}, protocol = "h2") =>
      protocol === "h2" ? askHttp2(world, path, ask) : askHttp1(world, path, ask),
    async [Symbol.asyncDispose]() {
      await server.close();
      await closeStore();
      await rm(directory, { recursive: true });
    },
  };
  await ready(world);
  return world;
}

async function ready(world: RestWorld): Promise<void> {
  const deadline = Date.now() + patienceMillis;
  for (;;) {
    const { status } = await world.ask("/readyz");
    const made = await world.ask("/api/v1/namespaces/default");
    if (status === 200 && made.status === 200) return;
    if (Date.now() > deadline) throw new Error(`not ready: ${status}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function bytesOf({ body }: Ask): Buffer | undefined {
  if (body === undefined) return undefined;
  if (typeof body === "string" || body instanceof Uint8Array) return Buffer.from(body);
  return Buffer.from(JSON.stringify(body));
}

function answerOf(status: number, headers: Answer["headers"], pieces: readonly Buffer[]): Answer {
  const text = Buffer.concat(pieces).toString();
  const isJson = String(headers["content-type"]).startsWith("application/json") && text !== "";
  const encoded = headers["content-encoding"] !== undefined;
  return { status, headers, text, json: isJson && !encoded ? JSON.parse(text) : undefined };
}

function identityOf(world: RestWorld, { as }: Ask) {
  return as === null ? {} : (as ?? world.admin);
}

function askHttp2(world: RestWorld, path: string, ask: Ask): Promise<Answer> {
  const session = http2Connect(`https://127.0.0.1:${world.port}`, {
    ca: world.ca,
    ...identityOf(world, ask),
  });
  return new Promise<Answer>((resolve, reject) => {
    session.once("error", reject);
    const body = bytesOf(ask);
    const stream = session.request(
      { ":path": path, ":method": ask.method ?? "GET", ...ask.headers },
      { endStream: body === undefined },
    );
    const pieces: Buffer[] = [];
    let head: Record<string, string | string[] | undefined> = {};
    stream.once("response", (headers) => {
      head = headers as typeof head;
    });
    stream.on("data", (piece: Buffer) => pieces.push(piece));
    stream.once("error", reject);
    stream.once("end", () => resolve(answerOf(Number(head[":status"]), head, pieces)));
    if (body !== undefined) stream.end(body);
  }).finally(() => session.close());
}

function askHttp1(world: RestWorld, path: string, ask: Ask): Promise<Answer> {
  const { port, ca } = world;
  return new Promise((resolve, reject) => {
    const request = http1Request(
      {
        ...{ host: "127.0.0.1", port, path, ca, agent: false },
        ...identityOf(world, ask),
        method: ask.method ?? "GET",
        headers: { ...ask.headers, connection: "close" },
      },
      (response) => {
        const pieces: Buffer[] = [];
        response.on("data", (piece: Buffer) => pieces.push(piece));
        response.once("error", reject);
        response.once("end", () => {
          resolve(answerOf(response.statusCode ?? 0, response.headers, pieces));
        });
      },
    );
    request.once("error", reject);
    request.end(bytesOf(ask));
  });
}

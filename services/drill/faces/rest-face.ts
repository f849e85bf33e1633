/** The REST API over HTTP/2: each key is a ConfigMap. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import type { ClientTls } from "../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { SeenChange } from "../evidence.ts";
import { type Attempt, type Face, type FaceOptions, keepalive, type SeenBatch } from "./face.ts";

const pageSize = 500;
const setUpMillisMax = 15_000;
/** An answer, or a line of a watch, is no longer than this. */
const answerBytesMax = 16 * 1024 * 1024;

interface Answer {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly Stored[];
}

interface Stored {
  readonly metadata?: { readonly name?: string; readonly resourceVersion?: string };
  readonly data?: Readonly<Record<string, string>>;
}

export class RestFace implements Face {
  readonly name = "rest";
  readonly #namespace: string;
  readonly #doors: readonly Door[];

  constructor({ addresses, tls, run }: FaceOptions) {
    this.#namespace = `drill-${run}`;
    this.#doors = addresses.map((address) => new Door(address, tls));
  }

  get doors(): number {
    return this.#doors.length;
  }

  async prepare(): Promise<void> {
    const body = { apiVersion: "v1", kind: "Namespace", metadata: { name: this.#namespace } };
    await this.#door(0).ask("POST", "/api/v1/namespaces", setUp("prepare"), body);
  }

  async create(key: string, value: string, attempt: Attempt): Promise<number> {
    const body = this.#object(key, value);
    return revisionOf(await this.#door(attempt.door).ask("POST", this.#path(), attempt, body));
  }

  async write(key: string, value: string, attempt: Attempt): Promise<number> {
    const body = this.#object(key, value);
    const path = `${this.#path()}/${key}`;
    return revisionOf(await this.#door(attempt.door).ask("PUT", path, attempt, body));
  }

  async read(key: string, attempt: Attempt) {
    try {
      const path = `${this.#path()}/${key}`;
      const object = (await this.#door(attempt.door).ask("GET", path, attempt)) as Stored;
      return { value: object.data?.["value"] };
    } catch (thrown) {
      if (StatusError.from(thrown).code === Code.notFound) return { value: undefined };
      throw thrown;
    }
  }

  async list() {
    const entries: Record<string, string> = {};
    let page = "";
    for (;;) {
      const query = `?limit=${pageSize}${page && `&continue=${encodeURIComponent(page)}`}`;
      const answer: Answer = await this.#door(0).ask("GET", this.#path() + query, setUp("list"));
      for (const { metadata, data } of answer.items ?? []) {
        entries[metadata?.name ?? ""] = data?.["value"] ?? "";
      }
      page = answer.metadata?.continue ?? "";
      if (page === "") return { entries, revision: revisionOf(answer) };
    }
  }

  async *watch(after: number, door: number, signal: AbortSignal): AsyncGenerator<SeenBatch, void> {
    const query = `?watch=1&allowWatchBookmarks=true&resourceVersion=${after}`;
    for await (const line of this.#door(door).lines(this.#path() + query, signal)) {
      const { type, object } = JSON.parse(line) as {
        readonly type: string;
        readonly object: Stored;
      };
      if (type === "ERROR") throw errorOf(Number((object as { code?: number }).code), line);
      const revision = revisionOf(object);
      if (type === "BOOKMARK") yield { revision, events: [] };
      else yield { revision, events: [changeOf(type, object, revision)] };
    }
  }

  async remove(): Promise<void> {
    await this.#door(0).ask("DELETE", `/api/v1/namespaces/${this.#namespace}`, setUp("remove"));
  }

  close(): void {
    for (const door of this.#doors) door.close();
  }

  #door(door: number): Door {
    return this.#doors[door % this.#doors.length] as Door;
  }

  #path(): string {
    return `/api/v1/namespaces/${this.#namespace}/configmaps`;
  }

  #object(name: string, value: string): object {
    return { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data: { value } };
  }
}

function setUp(what: string): Attempt {
  const requestId = `drill-${what}-${process.pid}-${performance.now()}`;
  return { door: 0, attempt: 1, millis: setUpMillisMax, requestId };
}

function revisionOf(object: object): number {
  return Number((object as Stored).metadata?.resourceVersion ?? 0);
}

function changeOf(type: string, object: Stored, revision: number): SeenChange {
  const key = object.metadata?.name ?? "";
  const value = object.data?.["value"] ?? "";
  return { revision, type: type === "DELETED" ? "delete" : "put", key, value };
}

/** One address: a connection that is opened when it is needed, and given up when it is silent. */
class Door {
  readonly #address: string;
  readonly #tls: ClientTls | undefined;
  #session: ClientHttp2Session | undefined;

  constructor(address: string, tls: ClientTls | undefined) {
    this.#address = address;
    this.#tls = tls;
  }

  ask(method: string, path: string, attempt: Attempt, body?: object): Promise<object> {
    const { requestId, attempt: number, millis } = attempt;
    const stream = this.#request({
      ":method": method,
      ":path": path,
      "trireme-request-id": requestId,
      ...(number > 1 && { "trireme-attempt": String(number) }),
      ...(body && { "content-type": "application/json" }),
    });
    stream.end(body && JSON.stringify(body));
    return new Promise((resolve, reject) => {
      let status = 0;
      let text = "";
      const fail = (code: Code, why: string) => {
        clearTimeout(timer);
        stream.destroy();
        reject(new StatusError(code, why));
      };
      const late = () => fail(Code.deadlineExceeded, `no answer after ${millis} ms`);
      const timer = setTimeout(late, millis);
      stream.setEncoding("utf8");
      stream.on("response", (headers) => {
        status = Number(headers[":status"]);
      });
      stream.on("data", (part: string) => {
        text += part;
        if (text.length > answerBytesMax) fail(Code.resourceExhausted, "the answer is too long");
      });
      stream.on("error", (error) => fail(Code.unavailable, error.message));
      stream.on("close", () => {
        clearTimeout(timer);
        if (status >= 200 && status < 300 && stream.readableEnded) resolve(JSON.parse(text));
        else reject(errorOf(status, text));
      });
    });
  }

  async *lines(path: string, signal: AbortSignal): AsyncGenerator<string, void> {
    const stream = this.#request({ ":method": "GET", ":path": path });
    stream.end();
    const cancel = () => stream.destroy();
    signal.addEventListener("abort", cancel, { once: true });
    let status = 0;
    stream.on("response", (headers) => {
      status = Number(headers[":status"]);
    });
    stream.setEncoding("utf8");
    let rest = "";
    try {
      for await (const part of stream as AsyncIterable<string>) {
        rest += part;
        if (rest.length > answerBytesMax) throw errorOf(0, "a line is too long");
        if (status !== 200) continue;
        const lines = rest.split("\n");
        rest = lines.pop() ?? "";
        yield* lines;
      }
    } catch (thrown) {
      if (thrown instanceof StatusError) throw thrown;
      throw new StatusError(Code.unavailable, (thrown as Error).message);
    } finally {
      signal.removeEventListener("abort", cancel);
      stream.destroy();
    }
    if (status !== 200) throw errorOf(status, rest);
  }

  close(): void {
    this.#session?.destroy();
  }

  #request(headers: Record<string, string>): ClientHttp2Stream {
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) {
      this.#session = this.#open();
    }
    return this.#session.request(headers);
  }

  #open(): ClientHttp2Session {
    const { ca, cert, key } = this.#tls ?? {};
    const session = connect(`https://${this.#address}`, { ca, cert, key });
    let unanswered = 0;
    const timer = setInterval(() => {
      if (session.connecting) return;
      if (unanswered > 1) session.destroy(new Error("the connection is silent"));
      else if (!session.destroyed) {
        unanswered++;
        session.ping(() => {
          unanswered = 0;
        });
      }
    }, keepalive.keepaliveTimeoutMillis);
    session.on("error", () => {}); // Its streams report it.
    session.on("goaway", () => session.close());
    session.on("close", () => clearInterval(timer));
    return session;
  }
}

/** What a status of HTTP means for a client that may repeat the call. */
function errorOf(status: number, text: string): StatusError {
  const words = text.slice(0, 300);
  if (status === 0) return new StatusError(Code.unavailable, words || "the connection broke");
  const codes: Readonly<Record<number, Code>> = {
    404: Code.notFound,
    409: Code.alreadyExists,
    410: Code.outOfRange,
    429: Code.resourceExhausted,
    502: Code.unavailable,
    503: Code.unavailable,
    504: Code.deadlineExceeded,
  };
  return new StatusError(codes[status] ?? Code.unknown, `HTTP ${status}: ${words}`);
}

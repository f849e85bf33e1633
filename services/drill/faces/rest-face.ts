/** The REST API over HTTP/2: each key is a ConfigMap. */
import { type ClientTls, parseAddress } from "../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { wholeBody } from "../../client/rest/http.ts";
import { Http2Server } from "../../client/rest/http2.ts";
import type { SeenChange } from "../evidence.ts";
import {
  type Attempt,
  attemptCall,
  connections,
  type Face,
  type FaceOptions,
  type SeenBatch,
  setUpMillisMax,
} from "./face.ts";

const pageSize = 500;
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

  async prepare(attempt: Attempt): Promise<void> {
    const body = { apiVersion: "v1", kind: "Namespace", metadata: { name: this.#namespace } };
    await this.#door(attempt.door).ask("POST", "/api/v1/namespaces", attempt, body);
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

  async remove(attempt: Attempt): Promise<void> {
    const path = `/api/v1/namespaces/${this.#namespace}`;
    await this.#door(attempt.door).ask("DELETE", path, attempt);
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

/** One address, on a connection that is always there. */
class Door {
  readonly #server: Http2Server;

  constructor(address: string, tls: ClientTls | undefined) {
    this.#server = new Http2Server({ ...parseAddress(address), tls: tls ?? {}, ...connections });
  }

  async ask(method: string, path: string, attempt: Attempt, body?: object): Promise<object> {
    const { fields, deadline } = attemptCall(attempt);
    const answer = await this.#server.request({
      ...{ method, path, deadline },
      headers: body === undefined ? fields : [...fields, "content-type", "application/json"],
      body: body && Buffer.from(JSON.stringify(body)),
    });
    const bytes = await wholeBody(answer, tooLong, answerBytesMax);
    if (answer.status >= 200 && answer.status < 300) return JSON.parse(bytes.toString());
    throw errorOf(answer.status, bytes.toString());
  }

  async *lines(path: string, signal: AbortSignal): AsyncGenerator<string, void> {
    const answer = await this.#server.request({ method: "GET", path, headers: [], signal });
    if (answer.status !== 200) {
      throw errorOf(answer.status, (await wholeBody(answer, tooLong, answerBytesMax)).toString());
    }
    const decoder = new TextDecoder();
    let rest = "";
    try {
      for (let piece = await answer.take(); piece !== undefined; piece = await answer.take()) {
        const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        if (rest.length > answerBytesMax) throw tooLong();
        yield* lines;
      }
    } finally {
      answer.cancel();
    }
  }

  close(): void {
    this.#server.close();
  }
}

function tooLong(): StatusError {
  return new StatusError(Code.resourceExhausted, `the answer is above ${answerBytesMax} bytes`);
}

/** What a status of HTTP means for a client that may repeat the call. */
function errorOf(status: number, text: string): StatusError {
  const words = text.slice(0, 300);
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

/**
 * The REST API, whatever the version of HTTP: identity, path, verb, and the answer with the headers
 * that every answer has.
 */
import { randomUUID } from "node:crypto";
import { pipeline, Readable } from "node:stream";
import { promisify } from "node:util";
import { createGzip, gzip } from "node:zlib";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import { auditIdOf } from "../../audit/auditor.ts";
import { failure } from "../../audit/outcome.ts";
import type { AuditRecord } from "../../audit/record.ts";
import { type Credentials, identify, NotSeenYet } from "../../auth/authenticate.ts";
import { authorize } from "../../auth/authorize.ts";
import { badRequest, methodNotAllowed, timeout, unauthenticated } from "../../errors.ts";
import { limits } from "../../limits.ts";
import { pathInfo, type User } from "../../request-info.ts";
import type { CallSource } from "../../verbs/call.ts";
import { type Call, callFrom } from "../../verbs/mod.ts";
import { warningHeaders } from "../../verbs/warnings.ts";
import type { Face } from "../grpc/face.ts";
import { errorResponse, notFoundResponse, withHeaders } from "./answers.ts";
import { RestAudit } from "./audited.ts";
import type { Discovery } from "./discovery.ts";
import type { PathTable } from "./paths.ts";
import { answerResource } from "./resources.ts";
import { parseTarget, type ResourceTarget, type Target } from "./target.ts";
import {
  type ByteStream,
  isStream,
  type RestHandler,
  type RestRequest,
  type RestResponse,
} from "./types.ts";

export interface RestCore {
  readonly face: Face;
  readonly discovery: Discovery;
  readonly paths: PathTable;
}

export function restHandler(core: RestCore): RestHandler {
  return async (request) => {
    const auditId = auditIdOf(request.header("audit-id"), randomUUID);
    return finished(request, await respond(core, request, auditId), auditId);
  };
}

async function respond(
  core: RestCore,
  request: RestRequest,
  auditId: string,
): Promise<RestResponse> {
  const { audit } = core.face.backend;
  const audited = audit && new RestAudit(audit, request, auditId);
  try {
    const user = await userOf(core.face, request);
    const target = parseTarget(request.method, request.target);
    const record = audited?.begin(user, target);
    const response =
      target.kind === "resource"
        ? await answer(core, request, user, target, record)
        : await answerPath(core, request, user, target, record);
    return audited === undefined ? response : audited.answered(response);
  } catch (thrown) {
    audited?.failed(thrown);
    return failed(core, request, thrown);
  }
}

/** A fault of this program is logged with its stack. */
function failed({ face }: RestCore, request: RestRequest, thrown: unknown): RestResponse {
  if (StatusError.from(thrown).code === Code.unknown) {
    const error = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    const { method, target } = request;
    face.backend.log.error("a REST request failed unexpectedly", { method, target, error });
  }
  return errorResponse(thrown);
}

/**
 * Who sends the request; without a proof it is anonymous. Throws Unauthenticated for a wrong proof;
 * what is wrong with it is for the log alone, as upstream has it.
 */
export async function userOf(face: Identifying, request: Identified): Promise<User> {
  const { peer } = request;
  try {
    if (peer.refusal !== undefined) throw unauthenticated(peer.refusal);
    return await identified(face, credentialsOf(request));
  } catch (thrown) {
    const error = StatusError.from(thrown);
    if (error.code !== Code.unauthenticated) throw error;
    face.backend.log.debug("a request was not authenticated", { error: error.message });
    throw unauthenticated("Unauthorized");
  }
}

type Identifying = Pick<Face, "authenticators" | "backend">;

/** The account of a token may have been made through another master a moment ago. */
async function identified(face: Identifying, credentials: Credentials): Promise<User> {
  try {
    return identify(face.authenticators, credentials);
  } catch (thrown) {
    if (!(thrown instanceof NotSeenYet)) throw thrown;
  }
  const { cache, store } = face.backend;
  await cache.waitFor(await store.readRevision());
  return identify(face.authenticators, credentials);
}

type Identified = Pick<RestRequest, "peer" | "headers" | "namesWith">;

function credentialsOf(request: Identified): Credentials {
  const header = (name: string) => request.headers(name);
  const namesWith = (prefix: string) => request.namesWith(prefix);
  return { certificate: request.peer.certificate, header, namesWith };
}

async function answer(
  core: RestCore,
  request: RestRequest,
  user: User,
  target: ResourceTarget,
  record: AuditRecord | undefined,
): Promise<RestResponse> {
  const { face } = core;
  const limit = timeLimitOf(target);
  const source = new RestSource(request, limit);
  const call = callFrom(source, user);
  call.audit = record;
  try {
    const response = await answerResource({ face, call, source, request, target });
    const more = [...flowHeaders(call), ...warningHeaders(call.warnings)];
    return more.length === 0 ? response : withHeaders(response, more);
  } catch (thrown) {
    const told = limit?.aborted ? tooSlow() : thrown;
    record?.complete(failure(told));
    // What was to be said before the request failed, that its version is deprecated above all.
    const more = [...flowHeaders(call), ...warningHeaders(call.warnings), ...source.trailers];
    return withHeaders(failed(core, request, told), more);
  }
}

class RestSource implements CallSource {
  readonly trailers: [string, string][] = [];
  readonly #request: RestRequest;
  readonly #limit: AbortSignal | undefined;
  #isBegun = false;
  #begun: PromiseWithResolvers<void> | undefined;

  constructor(request: RestRequest, limit: AbortSignal | undefined) {
    this.#request = request;
    this.#limit = limit;
  }

  header(name: string): string | undefined {
    return this.#request.header(name);
  }

  get signal(): AbortSignal {
    const { signal } = this.#request;
    return this.#limit === undefined ? signal : AbortSignal.any([signal, this.#limit]);
  }

  setTrailer(key: string, value: string): void {
    this.trailers.push([key, value]);
  }

  streamBegun(): void {
    this.#isBegun = true;
    this.#begun?.resolve();
  }

  /** Resolves when the answer's stream has begun. */
  get begun(): Promise<void> {
    if (this.#isBegun) return Promise.resolve();
    this.#begun ??= Promise.withResolvers();
    return this.#begun.promise;
  }
}

/** Which flow schema and priority level the request belonged to (apiserver `filters`). */
function flowHeaders({ flow }: Call): [string, string][] {
  if (flow === undefined || flow.schemaUid === "") return [];
  return [
    ["x-kubernetes-pf-flowschema-uid", flow.schemaUid],
    ["x-kubernetes-pf-prioritylevel-uid", flow.levelUid],
  ];
}

/** The client's own time limit, if it has one. A watch's is `timeoutSeconds`. Throws BadRequest. */
function timeLimitOf({ query, verb }: ResourceTarget): AbortSignal | undefined {
  const text = query.get("timeout");
  if (text === null || text === "" || verb === "watch") return undefined;
  const millis = durationMillis(text);
  if (millis === undefined) {
    throw badRequest(`invalid timeout specified in the request URL: ${JSON.stringify(text)}`);
  }
  return millis === 0 || millis > limits.requestTimeoutMillis
    ? undefined
    : AbortSignal.timeout(millis);
}

function tooSlow(): StatusError {
  return timeout("Timeout: request did not complete within requested timeout");
}

const durationPart = /(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)/y;
const unitMillis = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1, us: 1e-3, µs: 1e-3, ns: 1e-6 };

/** Of a duration as Go writes it, e.g. `1m30s`. */
function durationMillis(text: string): number | undefined {
  if (text === "0") return 0;
  let millis = 0;
  let at = 0;
  while (at < text.length) {
    durationPart.lastIndex = at;
    const match = durationPart.exec(text);
    if (match === null) return undefined;
    millis += Number(match[1]) * unitMillis[match[2] as keyof typeof unitMillis];
    at = durationPart.lastIndex;
  }
  return Math.ceil(millis);
}

async function answerPath(
  { face, discovery, paths }: RestCore,
  request: RestRequest,
  user: User,
  { path, verb, query }: Extract<Target, { kind: "path" }>,
  record: AuditRecord | undefined,
): Promise<RestResponse> {
  const info = pathInfo(user, path, verb === "head" ? "get" : verb);
  authorize(face.backend.authorizers, info, record);
  const handler = paths.find(path) ?? discovery.at(path);
  if (handler === undefined) return notFoundResponse();
  if (verb !== "get" && verb !== "head") {
    throw methodNotAllowed(`the server does not allow the method ${request.method} on ${path}`);
  }
  // What another master has established shows here as well.
  if (/^\/(apis|openapi)/.test(path)) await face.backend.catchUp(limits.discoveryMillis);
  const headers = (name: string) => request.headers(name);
  return handler({ method: request.method, path, query, user, headers });
}

const compress = promisify(gzip);
const uncached = ["cache-control", "no-cache, private"] as const;

/** Compressed if that is worth it, with the headers of every answer, and without a body for HEAD. */
async function finished(
  request: RestRequest,
  response: RestResponse,
  auditId: string,
): Promise<RestResponse> {
  const has = (name: string) => response.headers.some(([each]) => each === name);
  const headers: (readonly [string, string])[] = [...response.headers];
  if (!has("cache-control")) headers.push(uncached);
  headers.push(["audit-id", auditId]);
  let { body } = response;
  if (isStream(body)) {
    if (request.method === "HEAD") {
      await body[Symbol.asyncIterator]().return?.();
      body = Buffer.alloc(0);
    } else if (response.isDocument && compressing < limits.gzipStreams && takesGzip(request)) {
      body = gzipped(body);
      headers.push(["content-encoding", "gzip"], ["vary", "Accept-Encoding"]);
    }
  } else {
    if (body.length >= limits.gzipBytes && !has("content-encoding") && takesGzip(request)) {
      body = await compress(body, { level: 1 });
      headers.push(["content-encoding", "gzip"], ["vary", "Accept-Encoding"]);
    }
    if (response.status !== 304) headers.push(["content-length", String(body.length)]);
    if (request.method === "HEAD") body = Buffer.alloc(0);
  }
  return { status: response.status, headers, body };
}

/** Long documents that are being compressed; each holds some 300 KB. */
let compressing = 0;

/** A fault of the source, or the reader's end, ends the other side. */
function gzipped(body: ByteStream): ByteStream {
  const compressed = createGzip({ level: 1 });
  compressing += 1;
  pipeline(Readable.from(body), compressed, () => {
    compressing -= 1;
  });
  return compressed;
}

function takesGzip(request: RestRequest): boolean {
  return request
    .headers("accept-encoding")
    .some((value) => value.split(",").some((each) => each.trim().split(";")[0] === "gzip"));
}

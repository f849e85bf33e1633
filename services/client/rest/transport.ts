/**
 * The client's transport to any Kubernetes apiserver: the methods of the contracts as requests of
 * its REST API, in JSON.
 *
 * What only Trireme's servers have is left out. Writes carry no request id: one whose answer was
 * lost is not repeated. Fences are not checked: a leader that has been replaced without knowing it
 * is stopped by its lease's renewal alone. Bindings of a batch are sent singly, several at once.
 * Kinds that no other server serves are empty. Streams to nodes are refused.
 */
import type { MethodDefinition } from "@grpc/grpc-js";
import { CallFailure } from "../../../ha/rpc/call-failure.ts";
import { cancelledError } from "../../../ha/rpc/status-details.ts";
import { productionClock } from "../../../ha/runtime/production/clock.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { defaultTimers } from "../../../ha/runtime/timers.ts";
import { Backoff, jittered, sleep } from "../clock.ts";
import type { ClientTransport, Duplex, UnaryOptions } from "../transport.ts";
import type { CallOptions, ListOptions } from "../types.ts";
import { RestDiscovery } from "./discovery.ts";
import { parseDocument, trimmed } from "./documents.ts";
import { failureOfAnswer } from "./failures.ts";
import { type HttpAnswer, type HttpServer, wholeBody } from "./http.ts";
import { type Answered, findMethod } from "./methods.ts";
import type { RestRequest } from "./requests.ts";
import { watchEvent, watchLines } from "./watching.ts";

const limits = {
  callMillis: defaultTimers.clientCall,
  retryFirstMillis: 20,
  retryCeilingMillis: 1_000,
  /** The longest pause that a server's Retry-After is honoured for. */
  pushbackMillisMax: 60_000,
  bodyBytesMax: 64 * 1024 * 1024,
} as const;

export interface RestTransportOptions {
  readonly server: HttpServer;
  /** Asked for each request: a token's file may have been written anew. */
  readonly token: () => string | undefined;
  readonly userAgent: string;
}

export class RestTransport implements ClientTransport {
  readonly #options: RestTransportOptions;
  readonly #discovery: RestDiscovery;
  readonly #ended = new AbortController();

  constructor(options: RestTransportOptions) {
    this.#options = options;
    this.#discovery = new RestDiscovery(async (path, signal) => {
      return parseDocument((await this.#ask({ method: "GET", path }, { signal })).body);
    });
  }

  async unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: UnaryOptions = {},
  ): Promise<Response> {
    const { run } = findMethod(method.path);
    const answer = await run(request, {
      discovery: this.#discovery,
      omit: options.omit,
      signal: options.signal,
      ask: (asked) => this.#ask(asked, options),
    });
    return answer as Response;
  }

  async *stream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: CallOptions & Pick<ListOptions, "omit"> = {},
  ): AsyncGenerator<Response, void, undefined> {
    const { watch, wrap } = findMethod(method.path);
    const { signal, omit } = options;
    const asked = await watch(request, this.#discovery, signal);
    const answer = await this.#send(asked, options);
    if (answer.status === 404 && asked.onlyTrireme) {
      answer.cancel();
      return await this.#nothing(asked.timeoutSeconds, signal);
    }
    try {
      if (answer.status !== 200) throw await this.#failure(answer);
      for await (const line of watchLines(answer, limits.bodyBytesMax)) {
        const { type, object } = watchEvent(parseDocument(line));
        yield wrap(type, trimmed(object, omit)) as Response;
      }
    } catch (thrown) {
      if (signal?.aborted || this.#ended.signal.aborted) throw cancelledError();
      throw StatusError.from(thrown);
    } finally {
      answer.cancel();
    }
  }

  duplex<Request, Response>({
    path,
  }: MethodDefinition<Request, Response>): Promise<Duplex<Request, Response>> {
    return Promise.reject(
      new StatusError(Code.unimplemented, `${path} needs an apiserver of Trireme`),
    );
  }

  close(): void {
    this.#ended.abort();
    this.#options.server.close();
  }

  /** A kind that is not served never changes. */
  async #nothing(seconds: number | undefined, signal: AbortSignal | undefined): Promise<void> {
    const ended = AbortSignal.any([this.#ended.signal, ...(signal === undefined ? [] : [signal])]);
    await sleep(productionClock, 1_000 * (seconds ?? 300), ended);
    if (ended.aborted) throw cancelledError();
  }

  /**
   * Repeats, within the deadline, what the server asks to repeat later, what it cannot have seen,
   * and reads that failed as UNAVAILABLE.
   */
  async #ask(request: RestRequest, options: UnaryOptions): Promise<Answered> {
    const { signal, timeoutMillis = limits.callMillis } = options;
    const deadline = Date.now() + timeoutMillis;
    const backoff = new Backoff(limits.retryFirstMillis, limits.retryCeilingMillis);
    for (;;) {
      try {
        const answer = await this.#send(request, { signal, timeoutMillis: deadline - Date.now() });
        if (answer.status >= 300 || answer.status < 200) throw await this.#failure(answer);
        const warnings = answer.header("warning");
        return { body: await this.#body(answer), warnings: warningsIn(warnings) };
      } catch (thrown) {
        if (signal?.aborted || this.#ended.signal.aborted) throw cancelledError();
        if (!(thrown instanceof CallFailure)) throw thrown;
        const wait = pauseMillis(request, thrown, jittered(backoff.next()));
        if (wait === undefined || Date.now() + wait >= deadline) throw thrown;
        await sleep(productionClock, wait, signal);
        if (signal?.aborted) throw cancelledError();
      }
    }
  }

  #send(request: RestRequest, { signal, timeoutMillis }: CallOptions): Promise<HttpAnswer> {
    const { method, path, contentType, body } = request;
    const { server, token, userAgent } = this.#options;
    if (this.#ended.signal.aborted) {
      return Promise.reject(new StatusError(Code.cancelled, "the client is closed"));
    }
    const bearer = token();
    return server.request({
      ...{ method, path, body, signal },
      headers: [
        ...["accept", "application/json", "user-agent", userAgent],
        ...(contentType === undefined ? [] : ["content-type", contentType]),
        ...(bearer === undefined ? [] : ["authorization", `Bearer ${bearer}`]),
      ],
      ...(timeoutMillis !== undefined && { deadline: Date.now() + timeoutMillis }),
    });
  }

  #body(answer: HttpAnswer): Promise<Buffer> {
    const { bodyBytesMax } = limits;
    const text = `an answer is over the limit of ${bodyBytesMax} bytes`;
    const tooLarge = () => new StatusError(Code.resourceExhausted, text);
    return wholeBody(answer, tooLarge, bodyBytesMax);
  }

  async #failure(answer: HttpAnswer): Promise<CallFailure> {
    const body = (await this.#body(answer)).toString();
    return failureOfAnswer(answer.status, body, answer.header("retry-after"));
  }
}

/** Undefined: the request is not to be repeated. */
function pauseMillis(
  { method }: RestRequest,
  { code, notBegun, pushbackMillis }: CallFailure,
  backoffMillis: number,
): number | undefined {
  if (pushbackMillis !== undefined) {
    return Math.max(backoffMillis, Math.min(pushbackMillis, limits.pushbackMillisMax));
  }
  if (code !== Code.unavailable) return undefined;
  return notBegun || method === "GET" ? backoffMillis : undefined;
}

/** RFC 7234 section 5.5: `299 - "text"`, several behind commas. */
function warningsIn(header: string | undefined): string[] {
  if (header === undefined) return [];
  const texts = header.matchAll(/\d{3} \S+ "((?:[^"\\]|\\.)*)"/g);
  return [...texts].map(([, text = ""]) => text.replace(/\\(.)/g, "$1"));
}

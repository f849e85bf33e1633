import type { ClientRequest, IncomingMessage } from "node:http";
import { Agent as PlainAgent, request as plainRequest } from "node:http";
import { Agent, request as secureRequest } from "node:https";
import type { ServerTls } from "../../../ha/http2/client/mod.ts";
import { CallFailure } from "../../../ha/rpc/call-failure.ts";
import { rpcLimits } from "../../../ha/rpc/limits.ts";
import { cancelledError } from "../../../ha/rpc/status-details.ts";
import { Code } from "../../../ha/runtime/status-error.ts";
import { authorityOf, type HttpAnswer, type HttpRequest, type HttpServer } from "./http.ts";

/** Watches keep a connection each, beside those of the other requests. */
const connectionsMax = 256;

export interface Http1Address {
  readonly host: string;
  readonly port: number;
  /** Absent: plaintext. */
  readonly tls?: ServerTls | undefined;
}

export class Http1Server implements HttpServer {
  readonly #address: Http1Address;
  readonly #agent: Agent | PlainAgent;
  readonly #authority: string;

  constructor(address: Http1Address) {
    const { host, port, tls } = address;
    this.#authority = authorityOf(host, port);
    const kept = { keepAlive: true, maxSockets: connectionsMax, timeout: rpcLimits.connectMillis };
    this.#address = address;
    this.#agent =
      tls === undefined
        ? new PlainAgent(kept)
        : new Agent({
            ...kept,
            ...{ ca: tls.ca, cert: tls.cert, key: tls.key, ALPNProtocols: ["http/1.1"] },
            rejectUnauthorized: tls.unverified !== true,
            ...(tls.serverName !== undefined && { servername: tls.serverName }),
          });
  }

  request(request: HttpRequest): Promise<HttpAnswer> {
    const { host, port, tls } = this.#address;
    const { method, path, headers, body, signal, deadline } = request;
    if (signal?.aborted) return Promise.reject(cancelledError());
    const options = {
      ...{ host, port, method, path, agent: this.#agent },
      headers: [
        ...["host", this.#authority, ...headers],
        ...(body === undefined ? [] : ["content-length", `${body.length}`]),
      ],
    };
    return new Promise((resolve, reject) => {
      const sent = tls === undefined ? plainRequest(options) : secureRequest(options);
      const failed = (error: NodeJS.ErrnoException) => reject(failureOf(error));
      sent.setNoDelay(true);
      sent.on("error", failed);
      const answered = (message: IncomingMessage) => {
        message.on("close", forget);
        resolve(new Http1Answer(sent, message));
      };
      sent.on("response", answered);
      const cancel = () => void sent.destroy(cancelledError());
      const late = () => {
        sent.destroy(new CallFailure(Code.deadlineExceeded, "Deadline exceeded"));
      };
      const timer = deadline === undefined ? undefined : setTimeout(late, deadline - Date.now());
      const forget = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", cancel);
      };
      sent.on("close", forget);
      signal?.addEventListener("abort", cancel, { once: true });
      sent.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

class Http1Answer implements HttpAnswer {
  readonly #request: ClientRequest;
  readonly #message: IncomingMessage;
  readonly #pieces: AsyncIterator<Buffer, undefined>;

  constructor(request: ClientRequest, message: IncomingMessage) {
    this.#request = request;
    this.#message = message;
    this.#pieces = message[Symbol.asyncIterator]();
  }

  get status(): number {
    return this.#message.statusCode ?? 0;
  }

  header(name: string): string | undefined {
    const value = this.#message.headers[name];
    return Array.isArray(value) ? value.join(", ") : value;
  }

  async take(): Promise<Buffer | undefined> {
    try {
      const { value } = await this.#pieces.next();
      return value;
    } catch (thrown) {
      throw failureOf(thrown as NodeJS.ErrnoException);
    }
  }

  cancel(): void {
    this.#message.on("error", () => {});
    this.#request.destroy();
  }
}

/** A connection that is refused has carried nothing. */
function failureOf(error: NodeJS.ErrnoException): CallFailure {
  if (error instanceof CallFailure) return error;
  const { code, message } = cancelledError();
  if (error.message === message) return new CallFailure(code, message, { cause: error });
  const notBegun = error.code === "ECONNREFUSED" || error.code === "ENOTFOUND";
  const facts = { notBegun, unanswered: !notBegun, cause: error };
  return new CallFailure(Code.unavailable, error.message, facts);
}

/** The connection of a client that speaks REST over HTTP/2. */
import { ErrorCode, encodeHeaders, type HeaderBlock, type Stream } from "../http2/mod.ts";
import type { PeerIdentity } from "../rpc/listener.ts";
import type { Code } from "../runtime/status-error.ts";
import type { IncomingCall } from "./calls.ts";
import { ClientCall, ClientConnection, type ClientConnectionOptions } from "./client-connection.ts";
import { refusalOf } from "./identity.ts";
import type { BalancerLimits } from "./limits.ts";
import type { ReplyFields } from "./reply-fields.ts";
import { restErrorOf } from "./rest-errors.ts";
import { type RestHead, RestReader } from "./rest-head.ts";

export interface RestConnectionOptions extends ClientConnectionOptions {
  call(call: IncomingCall): void;
}

export class RestConnection extends ClientConnection {
  readonly #options: RestConnectionOptions;
  readonly #refusal: string | undefined;
  readonly #reader: RestReader;

  constructor(options: RestConnectionOptions, peer: PeerIdentity) {
    const { restHeaderBytes: headerListBytes, restHeaderFields: headerFields } = options.limits;
    super(options, { headerListBytes, headerFields });
    this.#options = options;
    this.#refusal = refusalOf(peer);
    this.#reader = new RestReader(peer.certificate, options.limits, peer.address);
  }

  override onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    const head = this.#reader.read(block);
    const call = new RestCall(this, stream, head, this.#refusal);
    stream.user = call;
    this.#options.call(call);
    if (endStream) call.onEnd();
  }

  get limits(): BalancerLimits {
    return this.#options.limits;
  }
}

const nothing = Buffer.alloc(0);

/** Whether an answer has no body, whatever its fields say of one (RFC 9110 section 6.4.1). */
function isBodiless(httpMethod: string, httpStatus: string | undefined): boolean {
  return httpMethod === "HEAD" || httpStatus === "204" || httpStatus === "304";
}

class RestCall extends ClientCall<RestHead> {
  readonly #limits: BalancerLimits;
  #bodiless: ReplyFields | undefined;

  constructor(
    { connection, limits }: Pick<RestConnection, "connection" | "limits">,
    stream: Stream,
    head: RestHead,
    refusal: string | undefined,
  ) {
    super(connection, stream, { head, refusal });
    this.#limits = limits;
  }

  override write(bytes: Buffer, start: number, end: number): boolean {
    return this.#bodiless !== undefined || super.write(bytes, start, end);
  }

  protected override begin(fields: ReplyFields): void {
    if (isBodiless(this.head.route.httpMethod, fields.httpStatus)) this.#bodiless = fields;
    else this.connection.headers(this.stream, fields.head, false);
  }

  protected override end(): void {
    if (this.#bodiless === undefined) this.connection.data(this.stream, nothing, true);
    else this.connection.headers(this.stream, this.#bodiless.head, true);
  }

  /** A stream that ends for its client to begin it anew, and had not begun to answer. */
  protected override only(): void {
    this.connection.headers(this.stream, emptyAnswer, true);
  }

  protected override error(code: Code, message: string, begun: boolean): void {
    if (begun) {
      this.connection.reset(this.stream, ErrorCode.internalError);
      return;
    }
    const { status, fields, body } = restErrorOf(code, message, this.#limits);
    const head = encodeHeaders([":status", String(status), ...fields]);
    if (this.head.route.httpMethod === "HEAD") {
      this.connection.headers(this.stream, head, true);
      return;
    }
    this.connection.headers(this.stream, head, false);
    this.connection.data(this.stream, body, true);
  }
}

const emptyAnswer = encodeHeaders([":status", "200", "content-type", "application/json"]);

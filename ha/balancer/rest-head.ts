/** What the head of a REST request says, and the block by which a master is told. */
import { encodeHeaders, FieldWriter, type HeaderBlock } from "../http2/mod.ts";
import type { PeerCertificate } from "../rpc/types.ts";
import { traceparentHeader } from "../runtime/trace.ts";
import type { RequestHead, Route } from "./calls.ts";
import { identityFields, isReserved } from "./identity.ts";
import type { BalancerLimits } from "./limits.ts";
import type { Method } from "./methods.ts";
import { attemptHeader, requestIdHeader, same } from "./request-head.ts";
import { queryTimeoutMillis, restMethodOf } from "./rest-methods.ts";

/** Fields that belong to one connection, and not to the request (RFC 9110 section 7.6.1). */
const hopByHop: ReadonlySet<string> = new Set([
  ...["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "te"],
  ...["http2-settings", "proxy-authenticate", "proxy-authorization", "expect"],
]);

/** Values are joined where HTTP allows it. */
function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before},${value}`;
}

/** The fields that one client's requests have in common, encoded once. */
class SharedFields {
  readonly authority: string;
  /** Name and value alternately. */
  readonly fields: readonly string[];
  readonly secrets: readonly string[];
  #scheme: string | undefined;
  #block: Uint8Array | undefined;

  constructor(authority: string, fields: readonly string[], secrets: readonly string[]) {
    this.authority = authority;
    this.fields = fields;
    this.secrets = secrets;
  }

  /** Without `:method` and `:path`. */
  block(scheme: string, address: string): Uint8Array {
    if (this.#block !== undefined && this.#scheme === scheme) return this.#block;
    const authority = this.authority === "" ? address : this.authority;
    const first = [":scheme", scheme, ":authority", authority];
    const block = encodeHeaders([...first, ...this.fields], this.secrets);
    if (this.authority !== "") {
      this.#scheme = scheme;
      this.#block = block;
    }
    return block;
  }

  equals(authority: string, fields: readonly string[], secrets: readonly string[]): boolean {
    return authority === this.authority && same(fields, this.fields) && same(secrets, this.secrets);
  }
}

const writer = new FieldWriter();

class RestRoute implements Route {
  readonly link = "rest";
  readonly httpMethod: string;
  readonly path: string;
  readonly method: Method;
  readonly #contentLength: string | undefined;
  readonly #shared: SharedFields;

  constructor(
    { httpMethod, path, method }: Pick<RestRoute, "httpMethod" | "path" | "method">,
    contentLength: string | undefined,
    shared: SharedFields,
  ) {
    this.httpMethod = httpMethod;
    this.path = path;
    this.method = method;
    this.#contentLength = contentLength;
    this.#shared = shared;
  }

  block(scheme: string, address: string): Uint8Array {
    writer.clear();
    writer.add(":method", this.httpMethod);
    writer.add(":path", this.path);
    writer.append(this.#shared.block(scheme, address));
    if (this.#contentLength !== undefined) writer.add("content-length", this.#contentLength);
    return writer.bytes;
  }

  /** The request's own fields and who the client is, for a relay that speaks HTTP/1.1. */
  get fields(): readonly string[] {
    return this.#shared.fields;
  }

  get authority(): string {
    return this.#shared.authority;
  }
}

export interface RestHead extends RequestHead {
  readonly route: RestRoute;
}

/** Sets of shared fields of one connection that are remembered. */
const remembered = 8;

/** Reads the requests of one client, whose certificate, if it has one, says who it is. */
export class RestReader {
  readonly #identity: readonly string[];
  readonly #limits: BalancerLimits;
  readonly #known: SharedFields[] = [];
  #next = 0;

  constructor(certificate: PeerCertificate | undefined, limits: BalancerLimits, address?: string) {
    this.#identity = identityFields(certificate, address);
    this.#limits = limits;
  }

  /** The very same object for a block that was seen before. */
  read(block: HeaderBlock): RestHead {
    block.attachment ??= this.readFields(block.fields, block.secrets ?? []);
    return block.attachment as RestHead;
  }

  /**
   * Name and value alternately, names in small letters, `:method`, `:path` and `:authority` or
   * `host` among them. `dropped`: further names that belong to the connection.
   */
  readFields(
    fields: readonly string[],
    secrets: readonly string[],
    dropped: ReadonlySet<string> = hopByHop,
  ): RestHead {
    const kept: string[] = [];
    let httpMethod = "";
    let path = "";
    let authority: string | undefined;
    let host = "";
    let contentLength: string | undefined;
    let requestId: string | undefined;
    let attempt: string | undefined;
    let traceparent: string | undefined;
    for (let at = 0; at < fields.length; at += 2) {
      const name = fields[at] as string;
      const value = fields[at + 1] as string;
      if (name === ":method") httpMethod = value;
      else if (name === ":path") path = value;
      else if (name === ":authority") authority = value;
      else if (name === "host") host = value;
      else if (name === "content-length") contentLength = value;
      else if (name === requestIdHeader) requestId = joined(requestId, value);
      else if (name === attemptHeader) attempt = joined(attempt, value);
      else if (name === traceparentHeader) traceparent = joined(traceparent, value);
      else if (!name.startsWith(":") && !isDropped(name, dropped)) kept.push(name, value);
    }
    kept.push(...this.#identity);
    const method = restMethodOf(httpMethod, path);
    const shared = this.#shared(authority ?? host, kept, secrets);
    const { restMillis, restGraceMillis } = this.#limits;
    // A master ends its work at the limit, and is given a moment to say so itself.
    const millis = Math.min(queryTimeoutMillis(path) ?? restMillis, restMillis) + restGraceMillis;
    return {
      route: new RestRoute({ httpMethod, path, method }, contentLength, shared),
      timeout: undefined,
      timeoutMillis: method.limited ? millis : undefined,
      requestId,
      attempt,
      traceparent,
    };
  }

  #shared(authority: string, fields: readonly string[], secrets: readonly string[]): SharedFields {
    const known = this.#known.find((each) => each.equals(authority, fields, secrets));
    if (known !== undefined) return known;
    const shared = new SharedFields(authority, fields, secrets);
    this.#known[this.#next++ % remembered] = shared;
    return shared;
  }
}

function isDropped(name: string, dropped: ReadonlySet<string>): boolean {
  return hopByHop.has(name) || dropped.has(name) || isReserved(name);
}

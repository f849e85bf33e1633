/** What the header block of a request says, and the block by which a master is told. */
import { encodeHeaders, FieldWriter, type HeaderBlock } from "../http2/mod.ts";
import type { PeerCertificate } from "../rpc/types.ts";
import { traceparentHeader } from "../runtime/trace.ts";
import type { RequestHead, Route } from "./calls.ts";
import { identityFields, isReserved } from "./identity.ts";
import { type Method, methodOf } from "./methods.ts";

/** Names the write; masters answer one that they have done already from memory. */
export const requestIdHeader = "trireme-request-id";
/** On every further attempt: 2, 3, … */
export const attemptHeader = "trireme-attempt";
const timeoutHeader = "grpc-timeout";

/** Calls of one client differ in these alone. */
const perCall: ReadonlySet<string> = new Set([
  timeoutHeader,
  requestIdHeader,
  attemptHeader,
  traceparentHeader,
]);

interface Target {
  readonly path: string;
  readonly authority: string;
}

/** What many calls have in common: where they go, and all their fields but those of `perCall`. */
export class GrpcRoute implements Route {
  readonly link = "grpc";
  readonly path: string;
  readonly authority: string;
  readonly method: Method;
  /** Name and value alternately. */
  readonly #fields: readonly string[];
  readonly #secrets: readonly string[];
  #scheme: string | undefined;
  #block: Uint8Array | undefined;

  constructor(target: Target, fields: readonly string[], secrets: readonly string[]) {
    this.path = target.path;
    this.authority = target.authority;
    this.method = methodOf(target.path);
    this.#fields = fields;
    this.#secrets = secrets;
  }

  block(scheme: string, address: string): Uint8Array {
    if (this.#block !== undefined && this.#scheme === scheme) return this.#block;
    const { authority, path } = this;
    const first = [":method", "POST", ":scheme", scheme, ":path", path];
    first.push(":authority", authority === "" ? address : authority);
    const block = encodeHeaders([...first, ...this.#fields], this.#secrets);
    if (authority !== "") {
      this.#scheme = scheme;
      this.#block = block;
    }
    return block;
  }

  equals(target: Target, fields: readonly string[], secrets: readonly string[]): boolean {
    if (target.path !== this.path || target.authority !== this.authority) return false;
    return same(fields, this.#fields) && same(secrets, this.#secrets);
  }
}

export function same(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((text, at) => text === others[at]);
}

/** Routes of one connection that are remembered. */
const remembered = 8;

/** Reads the requests of one client, whose certificate, if it has one, says who it is. */
export class RequestReader {
  readonly #identity: readonly string[];
  readonly #routes: GrpcRoute[] = [];
  #next = 0;

  constructor(certificate: PeerCertificate | undefined, address?: string) {
    this.#identity = identityFields(certificate, address);
  }

  /** The very same object for a block that was seen before. */
  read(block: HeaderBlock): RequestHead {
    block.attachment ??= this.#read(block);
    return block.attachment as RequestHead;
  }

  #read(block: HeaderBlock): RequestHead {
    const kept: string[] = [];
    const own: Record<string, string> = {};
    let path = "";
    let authority: string | undefined;
    let host = "";
    const { fields } = block;
    for (let at = 0; at < fields.length; at += 2) {
      const name = fields[at] as string;
      const value = fields[at + 1] as string;
      if (name === ":path") path = value;
      else if (name === ":authority") authority = value;
      else if (name === "host") host = value;
      else if (perCall.has(name)) {
        const before = own[name];
        own[name] = before === undefined ? value : `${before},${value}`;
      } else if (!name.startsWith(":") && name !== "te" && !isReserved(name)) {
        kept.push(name, value);
      }
    }
    kept.push("te", "trailers", ...this.#identity);
    return {
      route: this.#route({ path, authority: authority ?? host }, kept, block.secrets ?? []),
      timeout: own[timeoutHeader],
      timeoutMillis: undefined,
      requestId: own[requestIdHeader],
      attempt: own[attemptHeader],
      traceparent: own[traceparentHeader],
    };
  }

  #route(target: Target, fields: readonly string[], secrets: readonly string[]): GrpcRoute {
    const known = this.#routes.find((route) => route.equals(target, fields, secrets));
    if (known !== undefined) return known;
    const route = new GrpcRoute(target, fields, secrets);
    this.#routes[this.#next++ % remembered] = route;
    return route;
  }
}

const writer = new FieldWriter();

/** The fields of one attempt, encoded; valid until the next are. */
export function attemptFields(
  timeout: string | undefined,
  requestId: string | undefined,
  attempt: string | undefined,
  traceparent: string | undefined,
): Uint8Array {
  writer.clear();
  if (timeout !== undefined) writer.add(timeoutHeader, timeout);
  if (requestId !== undefined) writer.add(requestIdHeader, requestId);
  if (attempt !== undefined) writer.add(attemptHeader, attempt);
  if (traceparent !== undefined) writer.add(traceparentHeader, traceparent);
  return writer.bytes;
}

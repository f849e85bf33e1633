import { createHash } from "node:crypto";
import type { Span } from "../../../ha/runtime/trace.ts";
import type { AuditRecord, AuditSource } from "../audit/record.ts";
import { badRequest } from "../errors.ts";
import type { User } from "../request-info.ts";
import type { Flow } from "./flow-control.ts";

const headers = {
  requestId: "trireme-request-id",
  attempt: "trireme-attempt",
  fence: "trireme-fence",
  /** Set by gRPC clients that repeat a call by their retry policy (gRPC proposal A6). */
  previousAttempts: "grpc-previous-rpc-attempts",
} as const;

/** Trailer on an UNAVAILABLE answer that certainly did nothing. */
export const retryTrailer = { key: "trireme-retry", value: "safe" } as const;

/** What a guarded write claims: see ha/election/types.ts. */
export interface Fence {
  readonly namespace: string;
  readonly lease: string;
  readonly token: number;
}

/** One request, apart from the face through which it came. */
export interface Call {
  readonly user: User;
  readonly signal: AbortSignal | undefined;
  readonly requestId: string | undefined;
  /** 1 for the first, 2 and more for repeats. */
  readonly attempt: number;
  readonly fence: Fence | undefined;
  /** E.g. `kubectl/v1.33.0 (linux/amd64)`: who manages the fields of a write that does not say so. */
  readonly userAgent?: string | undefined;
  /** Of a call that is traced, while its verb is at work. */
  span?: Span | undefined;
  /** What it came with; absent: it came from nowhere. */
  readonly source?: Pick<CallSource, "header"> | undefined;
  /** What the audit log is to say of it; absent: nothing. */
  audit?: AuditRecord | undefined;
  /** Of a call whose record begins when it is known what it asks for; see audited-call.ts. */
  auditSource?: CallAuditSource | undefined;
  /** The schema and the level of flow control that it belongs to. */
  flow?: Flow | undefined;
  /** True once the call has made an object that was not there. */
  created?: boolean;
  /** Told to the user although the request succeeds. */
  readonly warnings: string[];
  /**
   * What this call asks for, as a digest: the same request id with another digest is another request
   * and refused. Set by the verb, for calls with a request id.
   */
  digest: string | undefined;
  /** True once a write may have reached the log: from then on a failure is not surely harmless. */
  proposed: boolean;
  setTrailer(key: string, value: string): void;
  /**
   * The answer to this call is a stream, and it has begun: response headers are sent before the
   * first item. After it an error no longer comes alone, so the verb calls it when all is checked.
   */
  streamBegun(): void;
}

/** The URI follows from what the call asks for. */
export type CallAuditSource = Omit<AuditSource, "requestUri">;

/** A request as its face knows it, whatever the wire. */
export interface CallSource {
  /** The first value of a header or metadata key, which is given in lower case. */
  header(name: string): string | undefined;
  /** May be made when it is first asked for. */
  readonly signal: AbortSignal;
  setTrailer(key: string, value: string): void;
  streamBegun(): void;
}

/** What a call's headers say of it. */
export type Said = Pick<Call, "requestId" | "attempt" | "fence" | "userAgent">;

/** Throws BadRequest. */
export function saidIn(source: Pick<CallSource, "header">): Said {
  const fence = source.header(headers.fence);
  return {
    requestId: requestIdOf(source.header(headers.requestId)),
    attempt: attemptOf(source.header(headers.attempt), source.header(headers.previousAttempts)),
    fence: fence === undefined ? undefined : fenceOf(fence),
    userAgent: source.header("user-agent"),
  };
}

/** The call of a user who is known, with the headers that steer writes. Throws BadRequest. */
export function callFrom(source: CallSource, user: User, said = saidIn(source)): Call {
  return new FacedCall(source, user, said);
}

class FacedCall implements Call {
  readonly user: User;
  readonly source: CallSource;
  readonly #said: Said;
  span: Span | undefined;
  audit: AuditRecord | undefined;
  auditSource: CallAuditSource | undefined;
  flow: Flow | undefined;
  created = false;
  readonly warnings: string[] = [];
  digest: string | undefined;
  proposed = false;

  constructor(source: CallSource, user: User, said: Said) {
    this.source = source;
    this.user = user;
    this.#said = said;
  }

  get signal(): AbortSignal {
    return this.source.signal;
  }

  get requestId(): string | undefined {
    return this.#said.requestId;
  }

  get attempt(): number {
    return this.#said.attempt;
  }

  get fence(): Fence | undefined {
    return this.#said.fence;
  }

  get userAgent(): string | undefined {
    return this.#said.userAgent;
  }

  setTrailer(key: string, value: string): void {
    this.source.setTrailer(key, value);
  }

  streamBegun(): void {
    this.source.streamBegun();
  }
}

const internalAgent = "trireme-apiserver";

/** A call of the apiserver itself: bootstrap, heartbeats. */
export function internalCall(user: User): Call {
  return {
    user,
    signal: undefined,
    requestId: undefined,
    attempt: 1,
    fence: undefined,
    userAgent: internalAgent,
    warnings: [],
    digest: undefined,
    proposed: false,
    setTrailer: () => {},
    streamBegun: () => {},
  };
}

/** Of a whole request, by its parts in order; text and bytes. */
export function digestOf(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha1");
  // An update costs more than the bytes of a name: text goes along with what follows it.
  let text = "";
  for (const part of parts) {
    text += `${part.length}:`;
    if (typeof part === "string") text += part;
    else {
      hash.update(text).update(part);
      text = "";
    }
  }
  if (text !== "") hash.update(text);
  return hash.digest("base64url").slice(0, digestLength);
}

/** 96 bits: two requests of a cluster never meet by chance. */
const digestLength = 16;

/** The store's limit is 128 bytes; a few are kept for the suffixes of calls with several writes. */
const requestIdLengthMax = 112;

function requestIdOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (!/^[\x21-\x7e]+$/.test(text) || text.length > requestIdLengthMax) {
    throw badRequest(
      `header ${headers.requestId}: must be 1 to ${requestIdLengthMax} printable characters`,
    );
  }
  return text;
}

/** A repeat by the balancer and one by the client's own retry policy add up. */
function attemptOf(text: string | undefined, previous: string | undefined): number {
  return countOf(headers.attempt, text, 1) + countOf(headers.previousAttempts, previous, 0);
}

function countOf(header: string, text: string | undefined, absent: number): number {
  if (text === undefined) return absent;
  if (!/^\d{1,6}$/.test(text) || Number(text) < absent) {
    throw badRequest(`header ${header}: "${text}" is not a number from ${absent} to 999999`);
  }
  return Number(text);
}

function fenceOf(text: string): Fence {
  const match = /^([a-z0-9.-]{1,253})\/([a-z0-9.:-]{1,253})=([1-9]\d{0,15})$/.exec(text);
  const [, namespace, lease, token] = match ?? [];
  if (namespace === undefined || lease === undefined || token === undefined) {
    throw badRequest(
      `header ${headers.fence}: "${text}" is not <namespace>/<lease>=<resourceVersion>`,
    );
  }
  return { namespace, lease, token: Number(token) };
}

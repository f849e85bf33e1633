/** What the balancer knows of a method, from the contracts alone. */
import { services } from "../../proto/gen/schema.ts";

/**
 * What may be done with a unary call that nobody knows the outcome of: a `read` may be repeated; a
 * `write` too, because its request id makes the repetition harmless; an `opaque` call may not.
 */
export type Repeatable = "read" | "write" | "opaque";

export interface Method {
  readonly shape: "unary" | "stream";
  /** The client sends one message, so the request can be kept and sent again. */
  readonly singleRequest: boolean;
  readonly repeatable: Repeatable;
}

/** Unary methods without effect, by name; the only list here that is kept by hand. */
const reads: ReadonlySet<string> = new Set([
  "Check",
  "Discover",
  "Get",
  "GetScale",
  "List",
  "Range",
  "Status",
  "MemberList",
]);

/** Services whose masters remember request ids. */
const remembering = "trireme.";

const opaque: Method = { shape: "stream", singleRequest: false, repeatable: "opaque" };

const methods = new Map<string, Method>();
for (const [service, { methods: declared }] of Object.entries(services)) {
  for (const [name, { path, requestStream, responseStream }] of Object.entries(declared)) {
    const shape = requestStream || responseStream ? "stream" : "unary";
    const write = service.startsWith(remembering) ? "write" : "opaque";
    const repeatable = shape === "stream" ? "opaque" : reads.has(name) ? "read" : write;
    methods.set(path, { shape, singleRequest: !requestStream, repeatable });
  }
}

/** A path that the contracts do not have is an opaque stream. */
export function methodOf(path: string): Method {
  return methods.get(path) ?? opaque;
}

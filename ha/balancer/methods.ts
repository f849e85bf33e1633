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
  /** A stream whose clients begin it anew where it was when a master goes away. */
  readonly movable: boolean;
}

/** Unary methods without effect, by name; a list kept by hand. */
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

/** Streams that are resumed, by name: watches by their revision, the others with the next message. */
const resumed: ReadonlySet<string> = new Set(["Watch", "LeaseKeepAlive", "Heartbeat"]);

/** Services whose masters remember request ids. */
const remembering = "trireme.";

const opaque: Method = {
  shape: "stream",
  singleRequest: false,
  repeatable: "opaque",
  movable: false,
};

const methods = new Map<string, Method>();
for (const [service, { methods: declared }] of Object.entries(services)) {
  for (const [name, { path, requestStream, responseStream }] of Object.entries(declared)) {
    const shape = requestStream || responseStream ? "stream" : "unary";
    const write = service.startsWith(remembering) ? "write" : "opaque";
    const repeatable = shape === "stream" ? "opaque" : reads.has(name) ? "read" : write;
    const movable = shape === "stream" && resumed.has(name);
    methods.set(path, { shape, singleRequest: !requestStream, repeatable, movable });
  }
}

/** A path that the contracts do not have is an opaque stream. */
export function methodOf(path: string): Method {
  return methods.get(path) ?? opaque;
}

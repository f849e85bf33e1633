/** What the balancer knows of a method, from the contracts alone. */
import { services } from "../../proto/gen/schema.ts";

/**
 * What may be done with a unary call whose outcome is unknown: a `read` may be repeated; a
 * `write` too, because its request id makes the repetition harmless; an `opaque` call may not.
 */
type Repeatable = "read" | "write" | "opaque";

export interface Method {
  readonly shape: "unary" | "stream";
  /** The client sends one message, so the request can be kept and sent again. */
  readonly singleRequest: boolean;
  readonly repeatable: Repeatable;
  /** The leader carries it out, whichever master is asked: asking the leader saves a hop. */
  readonly forLeader: boolean;
  readonly resumed: Resumed;
  /**
   * Any master that is connected answers it, ready or not: it asks about the server alone, and
   * needs no quorum.
   */
  readonly anyMaster: boolean;
}

/**
 * How the clients of a stream that they begin anew where it was are told to do so: by its `end`, as
 * when a watch's time is up, or by UNAVAILABLE, which etcd's clients hide from their callers, while
 * an end is to them the end of it all. Undefined: clients do not begin it anew.
 */
type Resumed = "end" | "unavailable" | undefined;

/** Unary methods without effect, by name; a list kept by hand. */
const reads: ReadonlySet<string> = new Set([
  ...["Check", "Discover", "Get", "GetScale", "List", "Status"],
  // etcd's; those that one member answers about itself are answered by another one as well.
  ...["Range", "LeaseTimeToLive", "LeaseLeases", "MemberList", "Hash", "HashKV", "Leader"],
  ...["AuthStatus", "UserGet", "UserList", "RoleGet", "RoleList"],
]);

/** Services of every gRPC server that ask about the server itself. */
const anyMasterServices = ["grpc.reflection.", "grpc.health."];

/**
 * Writes of etcd's API that a member passes on to the leader. Not those that wait, as for a lock.
 */
const etcdWrites: ReadonlySet<string> = new Set(
  ["KV/Put", "KV/DeleteRange", "KV/Txn", "KV/Compact", "Lease/LeaseGrant", "Lease/LeaseRevoke"].map(
    (name) => `/etcdserverpb.${name}`,
  ),
);

/**
 * Streams that are resumed, by name: watches by their revision, the others with the next message.
 */
const resumedStreams: ReadonlySet<string> = new Set(["Watch", "LeaseKeepAlive", "Heartbeat"]);

/**
 * Services whose masters remember request ids, and whose clients take a stream's end as it is
 * meant.
 */
const ownServices = "trireme.";

const opaque: Method = {
  shape: "stream",
  singleRequest: false,
  repeatable: "opaque",
  forLeader: false,
  resumed: undefined,
  anyMaster: false,
};

const methods = new Map<string, Method>();
for (const [service, { methods: declared }] of Object.entries(services)) {
  for (const [name, { path, requestStream, responseStream }] of Object.entries(declared)) {
    const shape = requestStream || responseStream ? "stream" : "unary";
    const own = service.startsWith(ownServices);
    const write = own ? "write" : "opaque";
    const repeatable = shape === "stream" ? "opaque" : reads.has(name) ? "read" : write;
    const resumes = shape === "stream" && resumedStreams.has(name);
    const resumed = resumes ? (own ? "end" : "unavailable") : undefined;
    const forLeader = repeatable === "write" || etcdWrites.has(path);
    const anyMaster = anyMasterServices.some((prefix) => service.startsWith(prefix));
    const singleRequest = !requestStream;
    methods.set(path, { shape, singleRequest, repeatable, forLeader, resumed, anyMaster });
  }
}

/** A path that the contracts do not have is an opaque stream. */
export function methodOf(path: string): Method {
  return methods.get(path) ?? opaque;
}

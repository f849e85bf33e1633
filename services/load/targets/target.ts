/** Who is asked: each protocol says how an operation looks on its wire. */
import type { LoadTls } from "../client/mod.ts";
import type { RequestTemplate } from "../client/template.ts";
import type { ObjectKind, Operation, Place } from "../operations.ts";

export type ProtocolName = "grpc" | "https" | "etcd";

/** All that is needed to reach a target, in plain values that a thread can be handed. */
export interface TargetAddress {
  readonly protocol: ProtocolName;
  /** As the user named it. */
  readonly url: string;
  /** `host:port`. */
  readonly addresses: readonly string[];
  readonly tls?: LoadTls | undefined;
  /** A bearer token, for Kubernetes. */
  readonly token?: string | undefined;
  /** Before each path: a Kubernetes apiserver behind a proxy. */
  readonly pathPrefix?: string | undefined;
}

export interface Protocol {
  readonly wire: "grpc" | "rest";
  /** The kinds that it has. */
  readonly kinds: readonly ObjectKind[];
  template(to: TargetAddress, place: Place, operation: Operation): RequestTemplate;
  /** A watch of all objects of the kind, from now on. */
  watch(to: TargetAddress, place: Place, kind: ObjectKind): RequestTemplate;
  /** What makes room for the run's objects, in order, and what clears it away. */
  before(to: TargetAddress, place: Place): readonly RequestTemplate[];
  after(to: TargetAddress, place: Place): readonly RequestTemplate[];
}

export function schemeOf({ tls }: TargetAddress): "http" | "https" {
  return tls === undefined ? "http" : "https";
}

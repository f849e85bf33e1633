/** One master, as the balancer sees it: what it says of itself, and how it is reached. */
import type { MemberStatus } from "../../proto/gen/cluster.ts";
import type { Link } from "./calls.ts";
import type { Outcomes } from "./outliers.ts";
import type { Upstream } from "./upstream.ts";

export interface MasterAddress {
  /** As the master names itself in `MemberStatus.name`. */
  readonly name: string;
  /** Where it speaks gRPC: `host:port`. */
  readonly address: string;
  /** Where it speaks REST: `host:port`; needed when the balancer serves REST. */
  readonly rest?: string | undefined;
}

export interface Master {
  readonly name: string;
  readonly address: string;
  readonly restAddress: string | undefined;
  /** Carries gRPC. */
  readonly upstream: Upstream;
  /** Carries REST. */
  readonly rest: Upstream | undefined;
  /** The last status that the master reported; undefined while its status stream is broken. */
  status: MemberStatus | undefined;
  /** Calls under way, by gRPC and REST together. */
  unary: number;
  streams: number;
  /** Attempts so far, how many of them came to no reply, and how many count against it. */
  attempts: number;
  failures: number;
  faults: number;
  readonly outcomes: Outcomes;
  /** The master is silent while another healthy one is not; it gets no new calls meanwhile. */
  suspected: boolean;
  /** The master is healthy but gets no new calls, and how often that has happened. */
  ejected: boolean;
  ejections: number;
  /** As the master has named itself last. */
  memberName: string | undefined;
  /** The master is no member of the cluster any more: what is under way ends, nothing new comes. */
  departed: boolean;
}

/** Which load is to be even: that of single calls or that of streams. */
export type Load = "unary" | "streams";

export type Choice = Master | "none" | "full";

/** The connection to the master that carries this kind of calls; undefined: it serves none. */
export function upstreamOf(master: Master, link: Link): Upstream | undefined {
  return link === "grpc" ? master.upstream : master.rest;
}

/** The master is one of the cluster's, reports that it is ready, and is connected. */
export function isHealthy(master: Master): boolean {
  return !master.departed && master.status?.ready === true && master.upstream.connected;
}

/** The master can be given another call of this kind. */
export function hasRoom(master: Master, link: Link): boolean {
  return !master.suspected && upstreamOf(master, link)?.hasCapacity === true;
}

/** Nothing comes from the master's process on one of its connections. */
export function isSilent({ upstream, rest }: Master): boolean {
  return upstream.silent || rest?.silent === true;
}

export function silentMillisOf({ upstream, rest }: Master): number {
  return Math.max(upstream.silentMillis, rest?.silentMillis ?? 0);
}

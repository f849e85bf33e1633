/** What a drill is held in: a whole cluster, or a store alone. Both are processes on this machine. */
import { existsSync, readFileSync } from "node:fs";
import type { MethodDefinition } from "@grpc/grpc-js";
import { Channel } from "../../../ha/rpc/channel/channel.ts";
import { type ClientTls, connect } from "../../../ha/rpc/mod.ts";
import { StatusError } from "../../../ha/runtime/status-error.ts";
import { type FaultSettings, FaultsService } from "../../../proto/gen/cluster.ts";
import {
  ClusterClient,
  MaintenanceClient,
  MaintenanceService,
  type StatusResponse,
} from "../../../proto/gen/etcd.ts";

export interface ProcessRef {
  readonly name: string;
  /** Read anew at every call: a process that was started again has another. */
  pid(): number | undefined;
}

export type Role = "master" | "balancer" | "scheduler" | "controller-manager" | "node";

export interface World {
  readonly kind: "cluster" | "store";
  readonly members: readonly MemberRef[];
  processes(role: Role): readonly ProcessRef[];
  /** Whether administrators may set faults into the members. */
  readonly faults: boolean;
  readonly tls: ClientTls | undefined;
  /** `host:port` of each door for clients of this face; empty: there is none. */
  readonly addresses: Readonly<Record<FaceName, readonly string[]>>;
  readonly logs: readonly { readonly name: string; readonly path: string }[];
  /** The node's kubelet and its proxy, as processes. */
  nodeProcesses(node: string): readonly ProcessRef[];
  /** Whether all that its supervisor looks after serves. */
  serves(): boolean;
  /** Starts a member that was ended; where a supervisor does that, it only waits for it. */
  revive(member: MemberRef): Promise<void>;
  /** Ends what this world has started; a cluster that was there before goes on. */
  close(): Promise<void>;
}

export type FaceName = "api" | "rest" | "etcd";

const answerMillisMax = 400;
const requestMillisMax = 2_000;

/** A member of the store, as its administrator sees it. */
export class MemberRef implements ProcessRef {
  readonly name: string;
  readonly etcd: string;
  readonly maintenance: MaintenanceClient;
  readonly cluster: ClusterClient;
  /** What is asked often goes over it. */
  readonly #channel: Channel;
  readonly #pid: () => number | undefined;

  constructor(
    name: string,
    etcd: string,
    tls: ClientTls | undefined,
    pid: () => number | undefined,
  ) {
    this.name = name;
    this.etcd = etcd;
    this.#pid = pid;
    const redial = { reconnectMinMillis: 50, reconnectMaxMillis: 200 };
    this.#channel = new Channel({ address: etcd, tls, ...redial });
    const options = { addresses: [etcd], tls, ...redial };
    this.maintenance = connect(MaintenanceClient, options);
    this.cluster = connect(ClusterClient, options);
  }

  pid(): number | undefined {
    return this.#pid();
  }

  /** Undefined while it does not answer. */
  async status(): Promise<StatusResponse | undefined> {
    try {
      return await this.#ask(MaintenanceService.status, {}, answerMillisMax);
    } catch {
      return undefined; // It is starting, stopped, or was killed; the caller asks again.
    }
  }

  async setFaults(settings: FaultSettings): Promise<void> {
    await this.#ask(FaultsService.set, settings, requestMillisMax);
  }

  /** The hash of all keys at a revision; undefined while it does not answer. */
  async hash(revision: bigint): Promise<number | undefined> {
    try {
      return (await this.#ask(MaintenanceService.hashKv, { revision }, requestMillisMax)).hash;
    } catch (thrown) {
      StatusError.from(thrown); // It may be behind; the caller asks again.
      return undefined;
    }
  }

  close(): void {
    for (const client of [this.maintenance, this.cluster, this.#channel]) client.close();
  }

  #ask<Request, Answer>(
    method: MethodDefinition<Request, Answer>,
    request: Request,
    millis: number,
  ): Promise<Answer> {
    return this.#channel.unary(method, request, { fields: [], deadline: Date.now() + millis });
  }
}

/** Whether the status is that of a member that leads, and knows it. */
export function leads(status: StatusResponse | undefined): boolean {
  return Boolean(status?.leader) && status?.leader === status?.header?.memberId;
}

/** Whether a process of this pid runs and is one of Trireme's; a drill signals no other. */
export function isOurs(pid: number | undefined): pid is number {
  if (pid === undefined || !Number.isInteger(pid) || pid < 2) return false;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("services/cli/main.ts");
  } catch {
    // Without /proc the pid alone has to do; with it, the process has just ended.
    return !existsSync("/proc/self");
  }
}

export function pause(millis: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, millis);
    signal?.addEventListener("abort", end, { once: true });
  });
}

/** Waits for a condition; rejects after `withinMillis` with what was waited for. */
export async function until<T>(
  what: string,
  condition: () => Promise<T | undefined | false>,
  withinMillis: number,
  signal?: AbortSignal,
): Promise<T> {
  const deadline = performance.now() + withinMillis;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (signal?.aborted) throw new Error(`interrupted while waiting for ${what}`);
    if (performance.now() > deadline) throw new Error(`waited ${withinMillis} ms for ${what}`);
    await pause(50, signal);
  }
}

/**
 * Which process dies next. Every kind of process is as likely as any other, a victim is drawn among
 * the kind's members, and enough of the kind survive: a quorum of masters, one of everything else.
 */
import assert from "node:assert/strict";
import { call, connect } from "../../ha/rpc/mod.ts";
import type { Random } from "../../ha/runtime/types.ts";
import { ClusterClient } from "../../proto/gen/cluster.ts";
import { adminTls } from "../../services/cli/connect.ts";
import { type Endpoints, exists, isOurs } from "../../services/cli/endpoints.ts";
import type { TriremeClient } from "../../services/client/mod.ts";
import { until } from "../e2e/cluster.ts";

const victimKinds = [
  "master",
  "balancer",
  "scheduler",
  "controller-manager",
  "kubelet",
  "kube-proxy",
] as const;
export type VictimKind = (typeof victimKinds)[number];

export interface Victim {
  readonly kind: VictimKind;
  readonly name: string;
  readonly pid: number;
}

export interface Kill extends Victim {
  /** `Date.now()` of the signal, and when the process with all its sockets was gone. */
  readonly at: number;
  readonly goneAt: number;
}

/** A process that started less than this ago is not yet counted as one that stands in for others. */
const settledMillis = 4_000;

const goneMillisMax = 10_000;

export class Victims {
  readonly #random: Random;
  readonly #client: TriremeClient;
  readonly #endpoints: () => Endpoints;
  /** When each pid was seen first. */
  readonly #seen = new Map<number, number>();

  constructor(endpoints: () => Endpoints, client: TriremeClient, random: Random) {
    this.#endpoints = endpoints;
    this.#client = client;
    this.#random = random;
  }

  /** Undefined: nothing can be spared at this moment. */
  async next(): Promise<Victim | undefined> {
    const endpoints = this.#endpoints();
    const kinds = [...victimKinds];
    while (kinds.length > 0) {
      const [kind] = kinds.splice(this.#random.below(kinds.length), 1);
      if (kind === undefined) break;
      const all = membersOf(endpoints, kind);
      const alive = all.filter(({ pid }) => this.#isSettled(pid));
      if (alive.length < Math.floor(all.length / 2) + (kind === "master" ? 2 : 1)) continue;
      if (alive.length < 2 || !(await this.#canSpare(kind, endpoints))) continue;
      return alive[this.#random.below(alive.length)];
    }
    return undefined;
  }

  /** Resolves when the process is gone: until then the kernel gives it new connections. */
  async kill(victim: Victim): Promise<Kill> {
    const { pid, name } = victim;
    assert(pid > 1, `pid ${pid} of ${name} is no process of the cluster`);
    const at = Date.now();
    process.kill(pid, "SIGKILL");
    await until(`the end of ${name}`, async () => !exists(pid), goneMillisMax, 5);
    return { ...victim, at, goneAt: Date.now() };
  }

  #isSettled(pid: number): boolean {
    if (pid < 2 || !isOurs(pid)) return false;
    const now = Date.now();
    const seen = this.#seen.get(pid) ?? now;
    this.#seen.set(pid, seen);
    return now - seen >= settledMillis;
  }

  /** All masters serve, or two of three nodes stay ready. */
  async #canSpare(kind: VictimKind, endpoints: Endpoints): Promise<boolean> {
    try {
      if (kind === "master") return await allMastersReady(endpoints);
      if (kind !== "kubelet") return true;
      const { items } = await this.#client.nodes.list({ timeoutMillis: 3_000 });
      return items.every((node) =>
        node.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True"),
      );
    } catch {
      return false; // Unknown counts as no: what is left may be all there is.
    }
  }
}

/** Those that run, by the supervisor's file. */
function membersOf(endpoints: Endpoints, kind: VictimKind): readonly Victim[] {
  const { masters, balancers, schedulers, controllerManagers, nodes } = endpoints;
  const members = {
    master: masters,
    balancer: balancers,
    scheduler: schedulers,
    "controller-manager": controllerManagers,
    kubelet: nodes,
    "kube-proxy": nodes.map(({ name, kubeProxyPid }) => ({ name, pid: kubeProxyPid })),
  }[kind];
  // A process that is not running has no pid, and pids below 2 would name more than one process.
  return members.map(({ name, pid }) => ({ kind, name, pid: pid ?? 0 }));
}

async function allMastersReady(endpoints: Endpoints): Promise<boolean> {
  const tls = adminTls(endpoints);
  const answers = endpoints.masters.map(async ({ grpc }) => {
    const client = connect(ClusterClient, { addresses: [grpc], tls });
    try {
      return (await call(client, "status", {}, { deadlineMillis: 3_000 })).ready === true;
    } finally {
      client.close();
    }
  });
  return (await Promise.all(answers)).every((ready) => ready);
}

/**
 * Watches the containers' processes through /proc and finds doubled ones: two processes of one pod
 * and container that live at the same time. Each template sets CHAOS_CLUSTER and CHAOS_DEPLOYMENT;
 * the kubelet sets HOSTNAME to the pod's name. Linux only.
 */
import { readdirSync, readFileSync } from "node:fs";

const scanMillis = 200;

export interface ContainerProcess {
  readonly pid: number;
  readonly deployment: string;
  readonly pod: string;
}

export interface Doubled {
  readonly pod: string;
  readonly pids: readonly number[];
  readonly at: string;
}

export class ContainerWatch {
  readonly doubled = new Map<string, Doubled>();
  scans = 0;
  readonly #cluster: string;
  readonly #timer: NodeJS.Timeout;

  constructor(cluster: string) {
    this.#cluster = cluster;
    this.#timer = setInterval(() => this.#scan(), scanMillis);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** The first process of each container; what a container has forked is left out. */
  list(): readonly ContainerProcess[] {
    const all = new Map<number, ContainerProcess & { readonly parent: number }>();
    for (const name of readdirSync("/proc")) {
      if (!/^\d+$/.test(name)) continue;
      const found = this.#read(Number(name));
      if (found !== undefined) all.set(found.pid, found);
    }
    return [...all.values()].filter(({ parent, pod }) => all.get(parent)?.pod !== pod);
  }

  #read(pid: number): (ContainerProcess & { readonly parent: number }) | undefined {
    try {
      const variables = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
      const value = (name: string) =>
        variables.find((each) => each.startsWith(`${name}=`))?.slice(name.length + 1);
      if (value("CHAOS_CLUSTER") !== this.#cluster) return undefined;
      const parent = parentOf(pid);
      if (parent === undefined) return undefined;
      const deployment = value("CHAOS_DEPLOYMENT") ?? "";
      return { pid, parent, deployment, pod: value("HOSTNAME") ?? "" };
    } catch {
      return undefined; // It has ended, or is another user's.
    }
  }

  #scan(): void {
    this.scans++;
    const pods = new Map<string, number[]>();
    for (const { pod, pid } of this.list()) pods.set(pod, [...(pods.get(pod) ?? []), pid]);
    for (const [pod, pids] of pods) {
      // A scan takes some milliseconds: only processes that still live after it count.
      const alive = pids.filter((pid) => parentOf(pid) !== undefined);
      if (alive.length < 2) continue;
      const seen = this.doubled.get(pod);
      if (seen === undefined) {
        this.doubled.set(pod, { pod, pids: alive, at: new Date().toISOString() });
      }
    }
  }
}

/** Undefined: there is no such process, or it has ended and is not yet reaped. */
function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" || state === "X" ? undefined : Number(parent);
  } catch {
    return undefined;
  }
}

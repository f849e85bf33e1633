/** How a node is: measured from the machine and the runtime, never assumed. */
import { readFileSync, type StatsFs } from "node:fs";
import { statfs } from "node:fs/promises";
import { freemem } from "node:os";
import type { NodeCondition, NodeStatus } from "../../../proto/gen/core.ts";
import { rfc3339Seconds } from "../../kinds/facts.ts";
import {
  type EvictionSettings,
  type Measurements,
  type MetThreshold,
  type Room,
  type Signal,
  ThresholdWatch,
} from "../eviction/thresholds.ts";
import type { ContainerRuntime } from "../runtime/types.ts";

type Verdict = Pick<NodeCondition, "status" | "reason" | "message">;

interface PressureKind {
  readonly type: "MemoryPressure" | "DiskPressure" | "PIDPressure";
  readonly signals: readonly Signal[];
  readonly under: Verdict;
  readonly free: Verdict;
}

const pressureKinds: readonly PressureKind[] = [
  {
    type: "MemoryPressure",
    signals: ["memory.available"],
    under: {
      status: "True",
      reason: "KubeletHasInsufficientMemory",
      message: "kubelet has insufficient memory available",
    },
    free: {
      status: "False",
      reason: "KubeletHasSufficientMemory",
      message: "kubelet has sufficient memory available",
    },
  },
  {
    type: "DiskPressure",
    signals: ["nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree"],
    under: {
      status: "True",
      reason: "KubeletHasDiskPressure",
      message: "kubelet has disk pressure",
    },
    free: {
      status: "False",
      reason: "KubeletHasNoDiskPressure",
      message: "kubelet has no disk pressure",
    },
  },
  {
    type: "PIDPressure",
    signals: ["pid.available"],
    under: {
      status: "True",
      reason: "KubeletHasInsufficientPID",
      message: "kubelet has insufficient PID available",
    },
    free: {
      status: "False",
      reason: "KubeletHasSufficientPID",
      message: "kubelet has sufficient PID available",
    },
  },
];

/** Space of the file system that a directory is on. Throws when it cannot be read. */
export async function roomOf(dir: string): Promise<Room> {
  return space(await statfs(dir));
}

function space({ bavail, bsize, blocks }: StatsFs): Room {
  return { free: bavail * bsize, total: blocks * bsize };
}

function inodes({ ffree, files }: StatsFs): Room {
  return { free: ffree, total: files };
}

/**
 * What the machine has left. `dir`: where the pods' files are; `imageDir`: where the images are.
 * Throws when it cannot be read.
 */
export async function measureMachine(dir: string, imageDir = dir): Promise<Measurements> {
  const [disk, images] = await Promise.all([statfs(dir), statfs(imageDir)]);
  const memory = machineMemory();
  const processes = machineProcesses();
  return {
    "memory.available": memory,
    "nodefs.available": space(disk),
    "imagefs.available": space(images),
    // Some file systems make inodes as they are needed and count none.
    ...(disk.files > 0 && { "nodefs.inodesFree": inodes(disk) }),
    ...(images.files > 0 && { "imagefs.inodesFree": inodes(images) }),
    ...(processes !== undefined && { "pid.available": processes }),
  };
}

/** Keeps the node's conditions. `measure` is called before each heartbeat. */
export class NodeHealth {
  readonly #runtime: Pick<ContainerRuntime, "status">;
  readonly #machine: () => Promise<Measurements>;
  readonly #watch: ThresholdWatch;
  readonly #transitionMillis: number;
  readonly #now: () => number;
  /** When each pressure was seen last, in Unix milliseconds. */
  readonly #pressedAt = new Map<string, number>();
  /** What the last measurement showed. */
  readonly #pressed = new Set<string>();
  #ready: Verdict = notReady("NotMeasured", "the node has not been measured yet");

  constructor(options: {
    readonly runtime: Pick<ContainerRuntime, "status">;
    readonly machine: () => Promise<Measurements>;
    readonly eviction: EvictionSettings;
    readonly now: () => number;
  }) {
    this.#runtime = options.runtime;
    this.#machine = options.machine;
    this.#watch = new ThresholdWatch(options.eviction);
    this.#transitionMillis = options.eviction.transitionMillis;
    this.#now = options.now;
  }

  /** The thresholds that call for evictions now. */
  get due(): readonly MetThreshold[] {
    return this.#watch.due;
  }

  /** The types of the pressures that the node is under. */
  pressures(): readonly string[] {
    return pressureKinds.map(({ type }) => type).filter((type) => this.#isPressed(type));
  }

  /** Never throws: what cannot be measured makes the node not ready. */
  async measure(): Promise<void> {
    try {
      this.#watch.observe(await this.#machine(), this.#now());
      const met = new Set(this.#watch.met.map(({ signal }) => signal));
      this.#pressed.clear();
      for (const kind of pressureKinds) {
        if (!kind.signals.some((signal) => met.has(signal))) continue;
        this.#pressed.add(kind.type);
        this.#pressedAt.set(kind.type, this.#now());
      }
    } catch (error) {
      this.#ready = notReady("MachineNotMeasurable", (error as Error).message);
      return;
    }
    const { runtimeReady, networkReady } = await this.#runtime.status();
    const problem = runtimeReady === true ? networkReady : runtimeReady;
    this.#ready =
      problem === true
        ? { status: "True", reason: "KubeletReady", message: "kubelet is posting ready status" }
        : notReady(problem.reason, `container runtime is not ready: ${problem.message}`);
  }

  /** Equal conditions keep the time of their last transition. */
  conditions(previous: NodeStatus | undefined): NodeCondition[] {
    const now = this.#now();
    const own: NodeCondition[] = [
      ...pressureKinds.map(({ type, under, free }) => {
        return { type, ...(this.#isPressed(type) ? under : free) };
      }),
      { type: "Ready", ...this.#ready },
    ];
    return own.map((condition) => {
      const old = previous?.conditions?.find(({ type }) => type === condition.type);
      const same = old?.status === condition.status;
      const lastTransitionTime = (same && old?.lastTransitionTime) || rfc3339Seconds(now);
      return { ...condition, lastTransitionTime };
    });
  }

  /** A pressure that comes and goes would move pods to and fro, so it is held for a while. */
  #isPressed(type: string): boolean {
    const at = this.#pressedAt.get(type) ?? Number.NEGATIVE_INFINITY;
    return this.#pressed.has(type) || this.#now() - at < this.#transitionMillis;
  }
}

function notReady(reason: string, message: string): Verdict {
  return { status: "False", reason: "KubeletNotReady", message: `${reason}: ${message}` };
}

/** MemAvailable, which counts caches that can be given up; free memory alone would not. */
export function availableMemory(): number {
  return machineMemory().free;
}

/** Of the machine, or of the group of processes that this kubelet was put into, if it has less. */
function machineMemory(): Room {
  const info = text("/proc/meminfo");
  const kilobytes = (name: string) => {
    const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(info);
    return match === null ? undefined : Number(match[1]) * 1024;
  };
  const machine = {
    free: kilobytes("MemAvailable") ?? freemem(),
    total: kilobytes("MemTotal") ?? 0,
  };
  for (const { dir, limitFile, usageFile } of memoryGroups) {
    const limit = Number.parseInt(text(`${dir}/${limitFile}`), 10);
    const usage = Number.parseInt(text(`${dir}/${usageFile}`), 10);
    if (!(limit > 0) || Number.isNaN(usage) || limit >= machine.total) continue;
    // File pages that nothing has used lately are given up first: upstream's working set.
    const idle = /^(?:total_)?inactive_file (\d+)$/m.exec(text(`${dir}/memory.stat`))?.[1] ?? "0";
    const free = limit - Math.max(0, usage - Number(idle));
    return { free: Math.min(machine.free, Math.max(0, free)), total: limit };
  }
  return machine;
}

/** A container's own group is mounted at the root of the hierarchy; version 2, then 1. */
const memoryGroups = [
  { dir: "/sys/fs/cgroup", limitFile: "memory.max", usageFile: "memory.current" },
  {
    dir: "/sys/fs/cgroup/memory",
    limitFile: "memory.limit_in_bytes",
    usageFile: "memory.usage_in_bytes",
  },
] as const;

/** Tasks the kernel can still make (proc(5): loadavg's fourth field, kernel/pid_max). */
function machineProcesses(): Room | undefined {
  const used = /^\S+ \S+ \S+ \d+\/(\d+)/.exec(text("/proc/loadavg"))?.[1];
  const limits = ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"]
    .map((path) => Number.parseInt(text(path), 10))
    .filter((limit) => limit > 0);
  if (used === undefined || limits.length === 0) return undefined;
  const total = Math.min(...limits);
  return { free: Math.max(0, total - Number(used)), total };
}

function text(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // not on this machine, which the callers take for no limit
  }
}

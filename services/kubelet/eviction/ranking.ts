/** Which pod goes first when the node runs short, and what it is told; pure, with upstream's words. */
import type { Container, Pod } from "../../../proto/gen/core.ts";
import { podRequests, resourceAmounts } from "../../kinds/facts.ts";
import type { MetThreshold, Signal } from "./thresholds.ts";

/** What the node runs short of: the name of the resource in messages. */
export type Starved = "memory" | "ephemeral-storage" | "inodes" | "pids";

const starvedBy: Readonly<Record<Signal, Starved>> = {
  "memory.available": "memory",
  "nodefs.available": "ephemeral-storage",
  "imagefs.available": "ephemeral-storage",
  "nodefs.inodesFree": "inodes",
  "imagefs.inodesFree": "inodes",
  "pid.available": "pids",
};

export function starvedOf({ signal }: MetThreshold): Starved {
  return starvedBy[signal];
}

/** Use of what the node runs short of: bytes, files or processes. */
export interface Use {
  readonly total: number;
  readonly containers: readonly { readonly name: string; readonly amount: number }[];
}

export interface Candidate {
  readonly pod: Pod;
  /** Undefined: not measured, so others go first only by their priority. */
  readonly use: Use | undefined;
}

/** Upstream's `IsCriticalPod`: static pods, and those of the system's priority. */
export function isCritical({ metadata = {}, spec = {} }: Pod, isStatic: boolean): boolean {
  const mirror = metadata.annotations?.["kubernetes.io/config.mirror"] !== undefined;
  return isStatic || mirror || (spec.priority ?? 0) >= systemPriority;
}

const systemPriority = 2_000_000_000;

/**
 * The first one to go comes first: who uses more than it requested, then by priority, then by how
 * much more it uses.
 */
export function ranked(candidates: readonly Candidate[], starved: Starved): Candidate[] {
  const over = ({ pod, use }: Candidate) => (use?.total ?? 0) - requestOf(pod, starved);
  const counts = starved !== "pids"; // pods request no processes
  return candidates.toSorted((a, b) => {
    const exceeds = counts ? Number(over(b) > 0) - Number(over(a) > 0) : 0;
    const priority = (a.pod.spec?.priority ?? 0) - (b.pod.spec?.priority ?? 0);
    return exceeds || priority || over(b) - over(a);
  });
}

/** Files and processes are not requested: every use of them counts. */
function requestOf(pod: Pod, starved: Starved): number {
  return starved === "memory" || starved === "ephemeral-storage"
    ? (podRequests(pod)[starved] ?? 0)
    : 0;
}

/** Of a pod's status and event. */
export function evictionMessage(candidate: Candidate, threshold: MetThreshold): string {
  const starved = starvedOf(threshold);
  const text = (amount: number) => (isBytes(starved) ? binaryText(amount) : String(amount));
  const parts = [
    `The node was low on resource: ${starved}. `,
    `Threshold quantity: ${text(Math.round(threshold.quantity))}, ` +
      `available: ${text(Math.round(threshold.available))}. `,
  ];
  const { containers = [] } = candidate.pod.spec ?? {};
  for (const { name, amount } of candidate.use?.containers ?? []) {
    const container = containers.find((one) => one.name === name);
    const request = container === undefined ? 0 : requestOfContainer(container, starved);
    if (starved === "pids" || starved === "inodes" || amount <= request) continue;
    parts.push(
      `Container ${name} was using ${text(amount)}, request is ${text(request)}, ` +
        `has larger consumption of ${starved}. `,
    );
  }
  return parts.join("");
}

function isBytes(starved: Starved): boolean {
  return starved === "memory" || starved === "ephemeral-storage";
}

function requestOfContainer({ resources }: Container, starved: Starved): number {
  return resourceAmounts(resources?.requests)[starved] ?? 0;
}

const suffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] as const;

/** As upstream prints a quantity of bytes: the largest unit of which it is a whole number. */
function binaryText(amount: number): string {
  let [value, index] = [amount, 0];
  while (value !== 0 && value % 1024 === 0 && index < suffixes.length - 1) {
    value /= 1024;
    index += 1;
  }
  return `${value}${suffixes[index]}`;
}

/**
 * How many replicas a measured resource asks for (upstream `podautoscaler/replica_calculator.go`).
 * Pure. Amounts are thousandths: millicores of CPU, thousandths of a byte of memory.
 */
import type { Pod } from "../../../proto/gen/core.ts";
import type { PodMetrics } from "../../../proto/gen/metrics.ts";
import { conditionOf, parseQuantity, parseTime } from "../../kinds/facts.ts";

/** A pod that young may be busy starting; upstream `horizontal-pod-autoscaler-*` defaults. */
const initializationMillis = 5 * 60_000;
const initialReadinessMillis = 30_000;

interface Measurement {
  readonly milli: number;
  /** Unix milliseconds of its end. */
  readonly atMillis: number;
  readonly windowMillis: number;
}

export interface Tolerance {
  readonly up: number;
  readonly down: number;
}

export interface ResourceTarget {
  readonly resource: string;
  /** Absent: the pod as a whole. */
  readonly container?: string | undefined;
  /** Percent of what is requested. */
  readonly utilization?: number | undefined;
  readonly averageMilli?: number | undefined;
  readonly tolerance: Tolerance;
}

export interface Proposal {
  readonly replicas: number;
  readonly averageMilli: number;
  readonly utilization?: number;
}

/** Why nothing can be proposed, in upstream's words. */
export class MetricsError extends Error {}

export function proposeReplicas(
  current: number,
  target: ResourceTarget,
  pods: readonly Pod[],
  metrics: readonly PodMetrics[],
  nowMillis: number,
): Proposal {
  const { resource } = target;
  const measured = measure(metrics, target);
  if (measured.size === 0) {
    const text = "no metrics returned from resource metrics API";
    throw new MetricsError(`unable to get metrics for resource ${resource}: ${text}`);
  }
  if (pods.length === 0) {
    throw new MetricsError("no pods returned by selector while calculating replica count");
  }
  const groups = groupPods(pods, measured, resource, nowMillis);
  const values = new Map(
    [...measured]
      .filter(([name]) => groups.ready.has(name))
      .map(([name, { milli }]) => [name, milli] as const),
  );
  const requests = target.utilization === undefined ? undefined : requestsOf(pods, target);
  if (values.size === 0) throw new MetricsError("did not receive metrics for any ready pods");
  const first = ratioOf(values, target, requests);
  const proposal = (replicas: number): Proposal => ({
    replicas,
    averageMilli: first.averageMilli,
    ...(first.utilization !== undefined && { utilization: first.utilization }),
  });
  const rebalance = groups.ignored.size > 0 && first.ratio > 1;
  if (!rebalance && groups.missing.size === 0) {
    if (isTolerated(first.ratio, target.tolerance)) return proposal(current);
    return proposal(Math.ceil(first.ratio * groups.ready.size));
  }
  // Pods that were not measured are taken to contradict the change.
  for (const name of groups.missing) {
    if (first.ratio < 1) values.set(name, fullUse(requests?.get(name), target));
    else if (first.ratio > 1) values.set(name, 0);
  }
  if (rebalance) for (const name of groups.ignored) values.set(name, 0);
  const { ratio } = ratioOf(values, target, requests);
  const turned = (first.ratio < 1 && ratio > 1) || (first.ratio > 1 && ratio < 1);
  if (turned || isTolerated(ratio, target.tolerance)) return proposal(current);
  const replicas = Math.ceil(ratio * values.size);
  if ((ratio < 1 && replicas > current) || (ratio > 1 && replicas < current)) {
    return proposal(current);
  }
  return proposal(replicas);
}

/** All that the pod asks for, or what is aimed at where that is more. */
function fullUse(
  request: number | undefined,
  { averageMilli = 0, utilization = 0 }: ResourceTarget,
): number {
  if (request === undefined) return averageMilli;
  return Math.trunc((request * Math.max(100, utilization)) / 100);
}

function isTolerated(ratio: number, { up, down }: Tolerance): boolean {
  return ratio >= 1 - down && ratio <= 1 + up;
}

/** By pod; pods of which a container is not measured are left out. */
function measure(
  metrics: readonly PodMetrics[],
  { resource, container }: ResourceTarget,
): ReadonlyMap<string, Measurement> {
  const measured = new Map<string, Measurement>();
  for (const { metadata, containers = [], timestamp, window } of metrics) {
    const wanted =
      container === undefined ? containers : containers.filter(({ name }) => name === container);
    const amounts = wanted.map(({ usage }) => milliOf(usage?.[resource]));
    if (amounts.length === 0 || amounts.includes(undefined)) continue;
    measured.set(metadata?.name ?? "", {
      milli: amounts.reduce<number>((sum, amount) => sum + (amount ?? 0), 0),
      atMillis: parseTime(timestamp) ?? 0,
      windowMillis: windowOf(window),
    });
  }
  return measured;
}

export function milliOf(text: string | undefined): number | undefined {
  const quantity = text === undefined ? undefined : parseQuantity(text);
  return quantity && Number(quantity.nanos) / 1_000_000;
}

/** E.g. of 1m5.5s. */
function windowOf(text: string | undefined): number {
  const [, minutes = "0", seconds = "0"] = /^(?:(\d+)m)?([\d.]+)s$/.exec(text ?? "") ?? [];
  return Number(minutes) * 60_000 + Number(seconds) * 1_000;
}

interface Groups {
  readonly ready: ReadonlySet<string>;
  /** Not measured. */
  readonly missing: ReadonlySet<string>;
  /** What was measured says nothing yet: the pod is starting. */
  readonly ignored: ReadonlySet<string>;
}

function groupPods(
  pods: readonly Pod[],
  measured: ReadonlyMap<string, Measurement>,
  resource: string,
  nowMillis: number,
): Groups {
  const groups = {
    ready: new Set<string>(),
    missing: new Set<string>(),
    ignored: new Set<string>(),
  };
  for (const pod of pods) {
    const { name = "", deletionTimestamp } = pod.metadata ?? {};
    if (deletionTimestamp || pod.status?.phase === "Failed") continue;
    const measurement = measured.get(name);
    if (pod.status?.phase === "Pending") groups.ignored.add(name);
    else if (measurement === undefined) groups.missing.add(name);
    else if (resource === "cpu" && isStarting(pod, measurement, nowMillis))
      groups.ignored.add(name);
    else groups.ready.add(name);
  }
  return groups;
}

function isStarting({ status }: Pod, measurement: Measurement, nowMillis: number): boolean {
  const ready = conditionOf(status?.conditions, "Ready");
  const started = parseTime(status?.startTime);
  if (ready === undefined || started === undefined) return true;
  const since = parseTime(ready.lastTransitionTime) ?? 0;
  if (started + initializationMillis > nowMillis) {
    const tooEarly = measurement.atMillis < since + measurement.windowMillis;
    return ready.status === "False" || tooEarly;
  }
  return ready.status === "False" && started + initialReadinessMillis > since;
}

function requestsOf(
  pods: readonly Pod[],
  { resource, container }: ResourceTarget,
): ReadonlyMap<string, number> {
  const requests = new Map<string, number>();
  for (const { metadata, spec } of pods) {
    const sidecars = (spec?.initContainers ?? []).filter((one) => one.restartPolicy === "Always");
    let total = 0;
    for (const each of [...(spec?.containers ?? []), ...sidecars]) {
      if (container !== undefined && each.name !== container) continue;
      const amount = milliOf(each.resources?.requests?.[resource]);
      if (amount === undefined) {
        const where = `in container ${each.name} of Pod ${metadata?.name}`;
        throw new MetricsError(`missing request for ${resource} ${where}`);
      }
      total += amount;
    }
    requests.set(metadata?.name ?? "", total);
  }
  return requests;
}

interface Ratio {
  /** Of what is used to what is aimed at. */
  readonly ratio: number;
  readonly averageMilli: number;
  readonly utilization?: number;
}

function ratioOf(
  values: ReadonlyMap<string, number>,
  target: ResourceTarget,
  requests: ReadonlyMap<string, number> | undefined,
): Ratio {
  let [used, requested, count] = [0, 0, 0];
  for (const [name, value] of values) {
    const request = requests?.get(name);
    if (requests !== undefined && request === undefined) continue;
    used += value;
    requested += request ?? 0;
    count++;
  }
  const averageMilli = Math.floor(used / Math.max(count, 1));
  if (requests === undefined) {
    return { ratio: averageMilli / (target.averageMilli ?? 1), averageMilli };
  }
  if (requested === 0) throw new MetricsError("no metrics returned matched known pods");
  const utilization = Math.floor((used * 100) / requested);
  return { ratio: utilization / (target.utilization ?? 1), averageMilli, utilization };
}

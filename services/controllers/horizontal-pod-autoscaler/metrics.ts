/** What an autoscaler's metrics propose together: the one that wants the most decides. Pure. */
import type {
  HorizontalPodAutoscalerSpec,
  HPAScalingRules,
  MetricSpec,
  MetricStatus,
} from "../../../proto/gen/autoscaling_v2.ts";
import type { Pod } from "../../../proto/gen/core.ts";
import type { PodMetrics } from "../../../proto/gen/metrics.ts";
import { formatQuantity, parseQuantity } from "../../kinds/facts.ts";
import {
  MetricsError,
  milliOf,
  type Proposal,
  proposeReplicas,
  type Tolerance,
} from "./replicas.ts";

/** Upstream `horizontal-pod-autoscaler-tolerance`. */
const toleranceDefault = 0.1;

export interface Measured {
  readonly pods: readonly Pod[];
  readonly metrics: readonly PodMetrics[];
  readonly nowMillis: number;
}

interface Failure {
  /** Of the event and of the condition ScalingActive. */
  readonly reason: string;
  readonly message: string;
  /** With more about where it comes from. */
  readonly whole: string;
}

export interface Proposals {
  /** Undefined: too few metrics could be had to decide anything. */
  readonly best: { readonly replicas: number; readonly metric: string } | undefined;
  /** Of those metrics that could be had. */
  readonly statuses: readonly MetricStatus[];
  readonly failures: readonly Failure[];
}

export function proposeAll(
  spec: HorizontalPodAutoscalerSpec,
  current: number,
  measured: Measured,
): Proposals {
  const { metrics = [], behavior } = spec;
  const tolerance = {
    up: toleranceOf(behavior?.scaleUp),
    down: toleranceOf(behavior?.scaleDown),
  };
  const statuses: MetricStatus[] = [];
  const failures: Failure[] = [];
  let best: { replicas: number; metric: string } | undefined;
  for (const metric of metrics) {
    const found = propose(metric, current, measured, tolerance);
    if ("reason" in found) {
      failures.push(found);
      continue;
    }
    statuses.push(found.status);
    const { replicas } = found.proposal;
    if (best === undefined || replicas > best.replicas) best = { replicas, metric: found.name };
  }
  // With a metric unknown, the others may only add replicas.
  const uncertain = failures.length > 0 && best !== undefined && best.replicas < current;
  return { best: uncertain ? undefined : best, statuses, failures };
}

function toleranceOf(rules: HPAScalingRules | undefined): number {
  const milli = milliOf(rules?.tolerance);
  return milli === undefined ? toleranceDefault : milli / 1_000;
}

interface Found {
  readonly proposal: Proposal;
  readonly status: MetricStatus;
  /** As conditions and events speak of the metric. */
  readonly name: string;
}

function propose(
  metric: MetricSpec,
  current: number,
  measured: Measured,
  tolerance: Tolerance,
): Found | Failure {
  const { type, resource, containerResource } = metric;
  const source = type === "ContainerResource" ? containerResource : resource;
  if (source === undefined) return unserved(metric);
  const { name: resourceName = "", target = {} } = source;
  const container = type === "ContainerResource" ? containerResource?.container : undefined;
  const { averageValue, averageUtilization } = target;
  const ofContainer = container === undefined ? "" : "container ";
  try {
    const proposal = proposeReplicas(
      current,
      {
        ...{ resource: resourceName, container, tolerance },
        ...(averageValue === undefined
          ? { utilization: averageUtilization }
          : { averageMilli: milliOf(averageValue) }),
      },
      measured.pods,
      measured.metrics,
      measured.nowMillis,
    );
    const shown = averageValue === undefined ? " utilization (percentage of request)" : "";
    const status: MetricStatus =
      container === undefined
        ? { type, resource: { name: resourceName, current: currentOf(resourceName, proposal) } }
        : {
            type,
            containerResource: {
              name: resourceName,
              container,
              current: currentOf(resourceName, proposal),
            },
          };
    return { proposal, status, name: `${resourceName} ${ofContainer}resource${shown}` };
  } catch (error) {
    if (!(error instanceof MetricsError)) throw error;
    const what = averageValue === undefined ? "utilization" : "usage";
    const message = `failed to get ${resourceName} ${what}: ${error.message}`;
    const kind = container === undefined ? "resource" : "container";
    const reason =
      container === undefined ? "FailedGetResourceMetric" : "FailedGetContainerResourceMetric";
    const whole = `failed to get ${resourceName} ${kind} metric value: ${message}`;
    return { reason, message, whole };
  }
}

/** CPU in millicores, everything else in whole units. */
function currentOf(resource: string, { averageMilli, utilization }: Proposal) {
  const text = resource === "cpu" ? `${averageMilli}m` : String(Math.ceil(averageMilli / 1_000));
  const quantity = parseQuantity(text);
  return {
    averageValue: quantity === undefined ? text : formatQuantity(quantity),
    ...(utilization !== undefined && { averageUtilization: utilization }),
  };
}

/** Nothing in this cluster serves metrics other than those of resources. */
function unserved({ type = "", pods, object, external }: MetricSpec): Failure {
  const name = (pods ?? object ?? external)?.metric?.name ?? "";
  const api = type === "External" ? "external" : "custom";
  const message =
    `unable to get ${api === "external" ? "external " : ""}metric ${name}: unable to fetch ` +
    `metrics from ${api} metrics API: no ${api} metrics API (${api}.metrics.k8s.io) registered`;
  const label = type.toLowerCase();
  return {
    reason: `FailedGet${type}Metric`,
    message,
    whole: `failed to get ${label} metric value: ${message}`,
  };
}

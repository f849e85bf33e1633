/** The older form of an autoscaler, which shows and writes those of autoscaling/v2. */
import {
  HorizontalPodAutoscaler,
  HorizontalPodAutoscalersService,
} from "../../../proto/gen/autoscaling.ts";
import type {
  MetricSpec,
  HorizontalPodAutoscaler as Stored,
} from "../../../proto/gen/autoscaling_v2.ts";
import { defineKind } from "../machinery/define.ts";
import type { Document } from "../machinery/resource.ts";
import { checkSchema } from "../machinery/schema.ts";
import { horizontalPodAutoscaler as stored } from "./horizontal-pod-autoscaler.ts";
import {
  behaviorFromV1,
  behaviorToV1,
  isCpuUtilization,
  metricFromV1,
  metricToV1,
} from "./v1-metrics.ts";

const prefix = "autoscaling.alpha.kubernetes.io/";
/** What the older form has no field for. */
const annotations = {
  metrics: `${prefix}metrics`,
  currentMetrics: `${prefix}current-metrics`,
  behavior: `${prefix}behavior`,
  conditions: `${prefix}conditions`,
} as const;

export const horizontalPodAutoscalerV1 = defineKind({
  message: "trireme.autoscaling.v1.HorizontalPodAutoscaler",
  codec: HorizontalPodAutoscaler,
  service: HorizontalPodAutoscalersService,
  countsGenerations: false,
  shortNames: stored.shortNames,
  categories: stored.categories,
  storedAs: { resource: stored, toStored, fromStored },

  setDefaults(document) {
    const autoscaler = document as HorizontalPodAutoscaler;
    autoscaler.spec ??= {};
    autoscaler.spec.minReplicas ??= 1;
    autoscaler.status ??= {};
    autoscaler.status.currentReplicas ??= 0;
    autoscaler.status.desiredReplicas ??= 0;
  },
  validate: (document) => stored.validate(asStored(document)),
  validateUpdate: (next, before) => stored.validateUpdate(asStored(next), asStored(before)),
  columns: stored.columns.map((column) => ({
    ...column,
    value: (document, now) => column.value(asStored(document), now),
  })),
});

function asStored(document: Document): Document {
  const copy = toStored(structuredClone(document));
  stored.setDefaults(copy);
  return copy;
}

function toStored(document: Document): Document {
  const { spec = {}, status = {}, metadata = {} } = document as HorizontalPodAutoscaler;
  const { targetCPUUtilizationPercentage: percent, ...rest } = spec;
  const { currentCPUUtilizationPercentage: current, ...counted } = status;
  const noted = (name: string): unknown => parsed(metadata.annotations?.[name]);
  const others = listOf(noted(annotations.metrics)).flatMap(metricFromV1);
  const metrics: MetricSpec[] = percent === undefined ? others : [...others, cpu(percent)];
  const behavior = behaviorFromV1(noted(annotations.behavior));
  const statuses = listOf(noted(annotations.currentMetrics));
  const conditions = listOf(noted(annotations.conditions));
  const measured = {
    type: "Resource",
    resource: { name: "cpu", current: { averageUtilization: current } },
  };
  const currentMetrics = statuses.length > 0 ? statuses : current === undefined ? [] : [measured];
  const result = {
    ...document,
    apiVersion: "autoscaling/v2",
    metadata: { ...metadata, annotations: withoutNotes(metadata.annotations) },
    spec: { ...rest, ...(metrics.length > 0 && { metrics }), ...(behavior && { behavior }) },
    status: {
      ...counted,
      ...(currentMetrics.length > 0 && { currentMetrics }),
      ...(conditions.length > 0 && { conditions }),
    },
  };
  // An annotation is a text of any kind: what is no metric or condition of v2 is dropped.
  const { document: checked } = checkSchema(stored.schema.message ?? "", result, "ignore");
  stored.setDefaults(checked);
  return checked;
}

function cpu(averageUtilization: number): MetricSpec {
  const target = { type: "Utilization", averageUtilization };
  return { type: "Resource", resource: { name: "cpu", target } };
}

function fromStored(document: Document): Document {
  const { spec = {}, status = {}, metadata = {} } = document as Stored;
  const { metrics = [], behavior, ...rest } = spec;
  const { currentMetrics = [], conditions = [], ...counted } = status;
  const others = metrics.filter((metric) => !isCpuUtilization(metric)).map(metricToV1);
  const target = metrics.find(isCpuUtilization)?.resource?.target?.averageUtilization;
  const measured = currentMetrics.find(({ resource }) => resource?.name === "cpu");
  const current = measured?.resource?.current?.averageUtilization;
  const notes = {
    ...(others.length > 0 && { [annotations.metrics]: JSON.stringify(others) }),
    ...(currentMetrics.length > 0 && {
      [annotations.currentMetrics]: JSON.stringify(currentMetrics),
    }),
    ...(behavior && { [annotations.behavior]: JSON.stringify(behaviorToV1(behavior)) }),
    ...(conditions.length > 0 && { [annotations.conditions]: JSON.stringify(conditions) }),
  };
  const kept = { ...withoutNotes(metadata.annotations), ...notes };
  return {
    ...document,
    apiVersion: "autoscaling/v1",
    metadata: {
      ...metadata,
      annotations: Object.keys(kept).length > 0 ? kept : undefined,
    },
    ...(document["spec"] !== undefined && {
      spec: { ...rest, ...(target !== undefined && { targetCPUUtilizationPercentage: target }) },
    }),
    ...(document["status"] !== undefined && {
      status: {
        ...counted,
        currentReplicas: counted.currentReplicas ?? 0,
        ...(current !== undefined && { currentCPUUtilizationPercentage: current }),
      },
    }),
  };
}

function withoutNotes(
  given: Readonly<Record<string, string>> | undefined,
): Record<string, string> | undefined {
  const names: readonly string[] = Object.values(annotations);
  const kept = Object.entries(given ?? {}).filter(([name]) => !names.includes(name));
  return kept.length > 0 ? Object.fromEntries(kept) : undefined;
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** As upstream, an annotation that cannot be read counts as none. */
function parsed(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

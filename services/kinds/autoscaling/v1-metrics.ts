/**
 * Metrics and behavior as annotations of an autoscaling/v1 object hold them: the metrics in the
 * forms that v1 once had, the behavior with its fields capitalised (upstream
 * `autoscaling/v1/conversion.go`).
 */
import type {
  HorizontalPodAutoscalerBehavior,
  MetricSpec,
  MetricTarget,
} from "../../../proto/gen/autoscaling_v2.ts";
import { isObject, type JsonObject } from "../machinery/json.ts";

/** The CPU utilization, for which v1 has a field of its own. */
export function isCpuUtilization({ type, resource }: MetricSpec): boolean {
  return (
    type === "Resource" &&
    resource?.name === "cpu" &&
    resource.target?.averageUtilization !== undefined
  );
}

export function metricToV1(metric: MetricSpec): JsonObject {
  const { type, object, pods, resource, containerResource, external } = metric;
  const percent = (target: MetricTarget | undefined) => ({
    targetAverageUtilization: target?.averageUtilization,
    targetAverageValue: target?.averageValue,
  });
  return defined({
    type,
    object: object && {
      target: object.describedObject,
      metricName: object.metric?.name,
      targetValue: object.target?.value ?? "0",
      selector: object.metric?.selector,
      averageValue: object.target?.averageValue,
    },
    pods: pods && {
      metricName: pods.metric?.name,
      targetAverageValue: pods.target?.averageValue ?? "0",
      selector: pods.metric?.selector,
    },
    resource: resource && { name: resource.name, ...percent(resource.target) },
    containerResource: containerResource && {
      name: containerResource.name,
      container: containerResource.container,
      ...percent(containerResource.target),
    },
    external: external && {
      metricName: external.metric?.name,
      metricSelector: external.metric?.selector,
      targetValue: external.target?.value,
      targetAverageValue: external.target?.averageValue,
    },
  });
}

/** Anything may stand in an annotation: what is no object is left out. */
export function metricFromV1(value: unknown): MetricSpec[] {
  if (!isObject(value)) return [];
  const of = (field: string): JsonObject | undefined => {
    const part = value[field];
    return isObject(part) ? part : undefined;
  };
  const [object, pods, external] = [of("object"), of("pods"), of("external")];
  const named = (part: JsonObject, selector: string) => ({
    name: part["metricName"],
    selector: part[selector],
  });
  const metric = defined({
    type: value["type"],
    object: object && {
      describedObject: object["target"],
      metric: named(object, "selector"),
      target: {
        type: object["averageValue"] === undefined ? "Value" : "AverageValue",
        value: object["targetValue"],
        averageValue: object["averageValue"],
      },
    },
    pods: pods && {
      metric: named(pods, "selector"),
      target: { type: "AverageValue", averageValue: pods["targetAverageValue"] },
    },
    resource: resourceFromV1(of("resource")),
    containerResource: resourceFromV1(of("containerResource")),
    external: external && {
      metric: named(external, "metricSelector"),
      target: {
        type: external["targetValue"] === undefined ? "AverageValue" : "Value",
        value: external["targetValue"],
        averageValue: external["targetAverageValue"],
      },
    },
  });
  return [metric as MetricSpec];
}

function resourceFromV1(part: JsonObject | undefined): JsonObject | undefined {
  if (part === undefined) return undefined;
  const { targetAverageUtilization, targetAverageValue, ...rest } = part;
  const type = targetAverageUtilization === undefined ? "AverageValue" : "Utilization";
  const target = {
    type,
    averageUtilization: targetAverageUtilization,
    averageValue: targetAverageValue,
  };
  return { ...rest, target };
}

export function behaviorToV1(behavior: HorizontalPodAutoscalerBehavior): unknown {
  return renamed(behavior, (name) => name.charAt(0).toUpperCase() + name.slice(1));
}

export function behaviorFromV1(value: unknown): HorizontalPodAutoscalerBehavior | undefined {
  if (!isObject(value)) return undefined;
  const behavior = renamed(value, (name) => name.charAt(0).toLowerCase() + name.slice(1));
  return Object.keys(behavior as object).length === 0
    ? undefined
    : (behavior as HorizontalPodAutoscalerBehavior);
}

function renamed(value: unknown, rename: (name: string) => string): unknown {
  if (Array.isArray(value)) return value.map((each) => renamed(each, rename));
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, part]) => part !== null && part !== undefined)
      .map(([name, part]) => [rename(name), renamed(part, rename)]),
  );
}

function defined(value: unknown): JsonObject {
  return JSON.parse(JSON.stringify(value)) as JsonObject;
}

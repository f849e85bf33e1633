/** Metrics of an autoscaler: their quantities, and how a column shows them. */
import type {
  HorizontalPodAutoscaler,
  MetricSpec,
  MetricStatus,
  MetricTarget,
  MetricValueStatus,
} from "../../../proto/gen/autoscaling_v2.ts";
import { canonicalQuantity } from "../machinery/quantity.ts";

export const sources = ["object", "external", "pods", "resource", "containerResource"] as const;

/** By the type of a metric, the field that holds it. */
export const sourceOfType: Readonly<Record<string, (typeof sources)[number]>> = {
  Object: "object",
  External: "external",
  Pods: "pods",
  Resource: "resource",
  ContainerResource: "containerResource",
};

export function canonicaliseMetrics({ spec, status }: HorizontalPodAutoscaler): void {
  for (const metric of spec?.metrics ?? []) {
    for (const source of sources) canonicalise(metric[source]?.target);
  }
  for (const metric of status?.currentMetrics ?? []) {
    for (const source of sources) canonicalise(metric[source]?.current);
  }
}

function canonicalise(amounts: MetricTarget | MetricValueStatus | undefined): void {
  if (amounts === undefined) return;
  for (const name of ["value", "averageValue"] as const) {
    const amount = amounts[name];
    if (amount !== undefined) amounts[name] = canonicalQuantity(amount);
  }
}

const shownMax = 2;

/** E.g. `cpu: 12%/80%, 3/5 (avg) + 1 more...`. */
export function shownMetrics(
  metrics: readonly MetricSpec[] | undefined,
  statuses: readonly MetricStatus[] | undefined,
): string {
  const shown = (metrics ?? []).map((metric, index) => shownMetric(metric, statuses?.[index]));
  if (shown.length === 0) return "<none>";
  const more = shown.length - shownMax;
  const first = shown.slice(0, shownMax).join(", ");
  return more > 0 ? `${first} + ${more} more...` : first;
}

const unknown = "<unknown>";

function shownMetric(metric: MetricSpec, status: MetricStatus | undefined): string {
  const type = metric.type ?? "";
  const source = Object.hasOwn(sourceOfType, type) ? sourceOfType[type] : undefined;
  if (source === undefined) return "<unknown type>";
  const { value, averageValue, averageUtilization } = metric[source]?.target ?? {};
  const current = status?.[source]?.current;
  if (source === "resource" || source === "containerResource") {
    const name = metric[source]?.name ?? "";
    if (averageValue !== undefined) {
      return `${name}: ${current?.averageValue ?? unknown}/${averageValue}`;
    }
    return `${name}: ${percent(current?.averageUtilization, unknown)}/${percent(averageUtilization, "<auto>")}`;
  }
  if (source === "pods") return `${current?.averageValue ?? unknown}/${averageValue ?? "0"}`;
  if (averageValue !== undefined)
    return `${current?.averageValue ?? unknown}/${averageValue} (avg)`;
  return `${current?.value ?? unknown}/${value ?? "0"}`;
}

function percent(amount: number | undefined, otherwise: string): string {
  return amount === undefined ? otherwise : `${amount}%`;
}

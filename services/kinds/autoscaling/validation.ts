/** Metrics and references of autoscalers (upstream `autoscaling/validation`). */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type {
  CrossVersionObjectReference,
  MetricIdentifier,
  MetricSpec,
  MetricTarget,
} from "../../../proto/gen/autoscaling_v2.ts";
import { containerResources } from "../core/pod/resource-validation.ts";
import { validateResourceName } from "../core/resource-names.ts";
import { forbidden, invalid, notSupported, required } from "../machinery/causes.ts";
import { checkLabelName, checkPathSegment, checkQualifiedName } from "../machinery/names.ts";
import { parseQuantity, quantityMessage } from "../machinery/quantity.ts";
import { sourceOfType, sources } from "./metrics.ts";

/** `ungrouped`: the object may be of the core group. */
export function validateReference(
  reference: CrossVersionObjectReference,
  path: string,
  ungrouped: boolean,
): FieldCause[] {
  const { kind = "", name = "", apiVersion = "" } = reference;
  const causes = [...segment(kind, `${path}.kind`, ""), ...segment(name, `${path}.name`, "")];
  if (apiVersion.split("/").length > 2) {
    const detail = `unexpected GroupVersion string: ${apiVersion}`;
    causes.push(invalid(`${path}.apiVersion`, apiVersion, detail));
  } else if (!ungrouped && !/^[^/]+\/./.test(apiVersion)) {
    causes.push(invalid(`${path}.apiVersion`, apiVersion, "apiVersion must specify API group"));
  }
  return causes;
}

function segment(value: string, path: string, missing: string): FieldCause[] {
  if (value === "") return [required(path, missing)];
  return checkPathSegment(value).map((problem) => invalid(path, value, problem));
}

export function validateMetrics(metrics: readonly MetricSpec[], path: string): FieldCause[] {
  return metrics.flatMap((metric, index) => validateMetric(metric, `${path}[${index}]`));
}

function validateMetric(metric: MetricSpec, path: string): FieldCause[] {
  const { type = "" } = metric;
  const causes: FieldCause[] = [];
  if (type === "") causes.push(required(`${path}.type`, "must specify a metric source type"));
  const expected = Object.hasOwn(sourceOfType, type) ? sourceOfType[type] : undefined;
  const unsupported = notSupported(`${path}.type`, type, Object.keys(sourceOfType));
  if (expected === undefined) causes.push(unsupported);
  const present = sources.filter((source) => metric[source] !== undefined);
  const [first] = present;
  if (first !== undefined) causes.push(...validateSource(metric, first, `${path}.${first}`));
  if (expected === undefined) causes.push(unsupported);
  else if (!present.includes(expected)) {
    const detail = "must populate information for the given metric source";
    causes.push(required(`${path}.${expected}`, detail));
  }
  if (present.length === 1) return causes;
  const detail = "must populate the given metric source only";
  const others = present.filter((source) => source !== expected);
  return [...causes, ...others.map((source) => forbidden(`${path}.${source}`, detail))];
}

function validateSource(
  metric: MetricSpec,
  source: (typeof sources)[number],
  path: string,
): FieldCause[] {
  const { object, external, pods } = metric;
  if (source === "object") {
    const { target = {}, describedObject = {} } = object ?? {};
    return [
      ...validateReference(describedObject, `${path}.describedObject`, true),
      ...validateIdentifier(object?.metric, `${path}.metric`),
      ...validateTarget(target, `${path}.target`),
      ...(target.value === undefined && target.averageValue === undefined
        ? [
            required(
              `${path}.target.averageValue`,
              "must set either a target value or averageValue",
            ),
          ]
        : []),
    ];
  }
  if (source === "external") {
    const { target = {} } = external ?? {};
    return [
      ...validateIdentifier(external?.metric, `${path}.metric`),
      ...validateTarget(target, `${path}.target`),
      ...validateExternal(target, `${path}.target`),
    ];
  }
  if (source === "pods") {
    const { target = {} } = pods ?? {};
    const detail = "must specify a positive target averageValue";
    return [
      ...validateIdentifier(pods?.metric, `${path}.metric`),
      ...validateTarget(target, `${path}.target`),
      ...(target.averageValue === undefined
        ? [required(`${path}.target.averageValue`, detail)]
        : []),
    ];
  }
  return validateResource(metric, source, path);
}

function validateExternal({ value, averageValue }: MetricTarget, path: string): FieldCause[] {
  if (value === undefined && averageValue === undefined) {
    const detail = "must set either a target value for metric or a per-pod target";
    return [required(`${path}.averageValue`, detail)];
  }
  if (value === undefined || averageValue === undefined) return [];
  const detail = "may not set both a target value for metric and a per-pod target";
  return [forbidden(`${path}.value`, detail)];
}

function validateResource(
  metric: MetricSpec,
  source: "resource" | "containerResource",
  path: string,
): FieldCause[] {
  const { name = "", target = {} } = metric[source] ?? {};
  const causes: FieldCause[] = [];
  if (name === "") causes.push(required(`${path}.name`, "must specify a resource name"));
  else if (source === "containerResource") causes.push(...validateName(name, `${path}.name`));
  if (source === "containerResource") {
    const { container = "" } = metric.containerResource ?? {};
    const at = `${path}.container`;
    if (container === "") causes.push(required(at, "must specify a container"));
    else {
      for (const problem of checkLabelName(container)) causes.push(invalid(at, container, problem));
    }
  }
  causes.push(...validateTarget(target, `${path}.target`));
  const { averageUtilization, averageValue } = target;
  if (averageUtilization === undefined && averageValue === undefined) {
    const detail = "must set either a target raw value or a target utilization";
    causes.push(required(`${path}.target.averageUtilization`, detail));
  }
  if (averageUtilization !== undefined && averageValue !== undefined) {
    const detail = "may not set both a target raw value and a target utilization";
    causes.push(forbidden(`${path}.target.averageValue`, detail));
  }
  return causes;
}

function validateName(name: string, path: string): FieldCause[] {
  const causes = validateResourceName(name, path);
  if (!name.includes("/")) {
    if (containerResources.has(name) || name.startsWith("hugepages-")) return causes;
    return [...causes, invalid(path, name, "must be a standard resource for containers")];
  }
  if (name.includes("kubernetes.io/") || isExtendedResource(name)) return causes;
  return [...causes, invalid(path, name, "doesn't follow extended resource name standard")];
}

/** A resource of a domain's own, whose requests a quota can count. */
function isExtendedResource(name: string): boolean {
  return !name.startsWith("requests.") && checkQualifiedName(`requests.${name}`).length === 0;
}

function validateIdentifier(metric: MetricIdentifier | undefined, path: string): FieldCause[] {
  return segment(metric?.name ?? "", `${path}.name`, "must specify a metric name");
}

function validateTarget(target: MetricTarget, path: string): FieldCause[] {
  const { type = "", averageUtilization } = target;
  const causes: FieldCause[] = [];
  if (type === "") causes.push(required(`${path}.type`, "must specify a metric target type"));
  if (!["Utilization", "Value", "AverageValue"].includes(type)) {
    const detail = "must be either Utilization, Value, or AverageValue";
    causes.push(invalid(`${path}.type`, type, detail));
  }
  for (const name of ["value", "averageValue"] as const) {
    const text = target[name];
    if (text === undefined) continue;
    const quantity = parseQuantity(text);
    if (quantity === undefined) causes.push(invalid(`${path}.${name}`, text, quantityMessage));
    else if (quantity.nanos <= 0n) {
      causes.push(invalid(`${path}.${name}`, text, "must be positive"));
    }
  }
  if (averageUtilization !== undefined && averageUtilization < 1) {
    const detail = "must be greater than 0";
    causes.push(invalid(`${path}.averageUtilization`, averageUtilization, detail));
  }
  return causes;
}

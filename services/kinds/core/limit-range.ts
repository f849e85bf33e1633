import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { LimitRange, type LimitRangeItem, LimitRangesService } from "../../../proto/gen/core.ts";
import { duplicate, forbidden, invalid, required } from "../machinery/causes.ts";
import { createdColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { checkQualifiedName } from "../machinery/names.ts";
import {
  canonicalise,
  compareQuantities,
  formatQuantity,
  parseQuantity,
  type Quantity,
  quantityMessage,
} from "../machinery/quantity.ts";
import type { Document } from "../machinery/resource.ts";
import { containerResources } from "./pod/resource-validation.ts";
import { isOvercommitAllowed, validateResourceName } from "./resource-names.ts";

const limitsOf = (document: Document): LimitRangeItem[] =>
  (document as LimitRange).spec?.limits ?? [];

const lists = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] as const;

export const limitRange = defineKind({
  message: "trireme.core.v1.LimitRange",
  codec: LimitRange,
  service: LimitRangesService,
  createOnUpdate: true,
  shortNames: ["limits"],

  setDefaults(document) {
    const range = document as LimitRange;
    range.spec ??= {};
    for (const item of limitsOf(document)) {
      for (const list of lists) canonicalise(item[list]);
      if (item.type === "Container") setContainerDefaults(item);
    }
  },
  prepareForCreate(document) {
    const { metadata } = document;
    // One without a name gets a UID for it, as upstream.
    if (metadata?.uid !== undefined) metadata.name ||= metadata.uid;
  },
  validate(document) {
    const seen = new Set<string>();
    return limitsOf(document).flatMap((item, index) => {
      const path = `spec.limits[${index}]`;
      const { type = "" } = item;
      const causes = validateType(type, `${path}.type`);
      if (seen.has(type)) causes.push(duplicate(`${path}.type`, type));
      seen.add(type);
      return [...causes, ...validateItem(item, path)];
    });
  },
  columns: [nameColumn, createdColumn],
});

/** The limit defaults to the most, the request to the limit, or else to the least. */
function setContainerDefaults(item: LimitRangeItem): void {
  const limit = { ...item.max, ...item.default };
  const request = { ...item.min, ...limit, ...item.defaultRequest };
  if (Object.keys(limit).length > 0) item.default = limit;
  if (Object.keys(request).length > 0) item.defaultRequest = request;
}

function validateType(type: string, path: string): FieldCause[] {
  const causes = checkQualifiedName(type).map((problem) => invalid(path, type, problem));
  if (causes.length > 0 || type.includes("/")) return causes;
  if (["Pod", "Container", "PersistentVolumeClaim"].includes(type)) return causes;
  return [invalid(path, type, "must be a standard limit type or fully qualified")];
}

function validateItem(item: LimitRangeItem, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  const names = new Set<string>();
  for (const list of lists) {
    const amounts = Object.entries(item[list] ?? {});
    if (item.type === "Pod" && (list === "default" || list === "defaultRequest")) {
      const detail = "may not be specified when `type` is 'Pod'";
      if (amounts.length > 0) causes.push(forbidden(`${path}.${list}`, detail));
      continue;
    }
    for (const [name, text] of amounts) {
      const at = `${path}.${list}[${name}]`;
      causes.push(...validateName(item.type ?? "", name, at));
      if (parseQuantity(text) === undefined) causes.push(invalid(at, text, quantityMessage));
      names.add(name);
    }
  }
  const storage = item.min?.["storage"] ?? item.max?.["storage"];
  if (item.type === "PersistentVolumeClaim" && storage === undefined) {
    const detail = "either minimum or maximum storage value is required, but neither was provided";
    causes.push(required(`${path}.limits`, detail));
  }
  return [...causes, ...[...names].flatMap((name) => validateOrder(item, name, path))];
}

function validateName(type: string, name: string, path: string): FieldCause[] {
  if (type !== "Pod" && type !== "Container") return validateResourceName(name, path);
  const causes = validateResourceName(name, path);
  if (name.includes("/")) return causes;
  if (containerResources.has(name) || name.startsWith("hugepages-")) return causes;
  return [...causes, invalid(path, name, "must be a standard resource for containers")];
}

/** The amounts of one resource: min ≤ default request ≤ default ≤ max, and their ratio. */
function validateOrder(item: LimitRangeItem, name: string, path: string): FieldCause[] {
  const amount = (list: (typeof lists)[number]): Quantity | undefined =>
    item.type === "Pod" && (list === "default" || list === "defaultRequest")
      ? undefined
      : parseQuantity(item[list]?.[name] ?? "");
  const [min, max] = [amount("min"), amount("max")];
  const [limit, request] = [amount("default"), amount("defaultRequest")];
  const causes: FieldCause[] = [];
  const inOrder = (
    [less, lessName]: readonly [Quantity | undefined, string],
    [more, moreName]: readonly [Quantity | undefined, string],
    at: string,
    shown: Quantity | undefined,
  ) => {
    if (less === undefined || more === undefined || compareQuantities(less, more) <= 0) return;
    const [small, large] = [formatQuantity(less), formatQuantity(more)];
    const detail = `${lessName} value ${small} is greater than ${moreName} value ${large}`;
    const value = shown === undefined ? "" : formatQuantity(shown);
    causes.push(invalid(`${path}.${at}[${name}]`, value, detail));
  };
  inOrder([min, "min"], [max, "max"], "min", min);
  inOrder([min, "min"], [request, "default request"], "defaultRequest", request);
  inOrder([request, "default request"], [max, "max"], "defaultRequest", request);
  inOrder([request, "default request"], [limit, "default limit"], "defaultRequest", request);
  inOrder([min, "min"], [limit, "default"], "default", min);
  inOrder([limit, "default"], [max, "max"], "default", max);
  causes.push(...validateRatio(amount("maxLimitRequestRatio"), min, max, name, path));
  if (isOvercommitAllowed(name) || limit === undefined || request === undefined) return causes;
  if (compareQuantities(limit, request) === 0) return causes;
  const [shownLimit, shownRequest] = [formatQuantity(limit), formatQuantity(request)];
  const detail = `default value ${shownLimit} must equal to defaultRequest value ${shownRequest} in ${name}`;
  return [...causes, invalid(`${path}.defaultRequest[${name}]`, shownRequest, detail)];
}

function validateRatio(
  ratio: Quantity | undefined,
  min: Quantity | undefined,
  max: Quantity | undefined,
  name: string,
  path: string,
): FieldCause[] {
  if (ratio === undefined) return [];
  const at = `${path}.maxLimitRequestRatio[${name}]`;
  const text = formatQuantity(ratio);
  const causes: FieldCause[] = [];
  if (ratio.nanos < 1_000_000_000n) {
    causes.push(invalid(at, text, `ratio ${text} is less than 1`));
  }
  if (min === undefined || max === undefined) return causes;
  const possible = Number(max.nanos) / Number(min.nanos);
  if (Number(ratio.nanos) / 1e9 <= possible) return causes;
  const detail = `ratio ${text} is greater than max/min = ${possible.toFixed(6)}`;
  return [...causes, invalid(at, text, detail)];
}

/** Checks that the kinds of devices share (upstream `apis/resource/validation`). */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type {
  DeviceSelector,
  DeviceToleration,
  OpaqueDeviceConfiguration,
} from "../../../proto/gen/resource.ts";
import {
  duplicate,
  invalid,
  notSupported,
  required,
  tooLong,
  tooMany,
} from "../machinery/causes.ts";
import { deviceExpressionProblem } from "../machinery/cel/device.ts";
import { validateDriverName, wrong } from "../machinery/field-rules.ts";
import { equalJson } from "../machinery/json.ts";
import {
  checkLabelName,
  checkLabelValue,
  checkQualifiedName,
  checkSubdomain,
} from "../machinery/names.ts";

export const selectorsMax = 32;
export const configsMax = 32;
const expressionBytesMax = 10 * 1_024;
const parametersBytesMax = 10 * 1_024;
const identifierLengthMax = 32;
const poolLengthMax = 253;
const effects = ["NoExecute", "NoSchedule"];

/** Each of the items, and how many there may be. */
export function each<T>(
  items: readonly T[] | undefined,
  countMax: number,
  path: string,
  check: (item: T, path: string) => FieldCause[],
): FieldCause[] {
  const list = items ?? [];
  const causes = list.flatMap((item, index) => check(item, `${path}[${index}]`));
  return list.length > countMax ? [...causes, tooMany(path, list.length, countMax)] : causes;
}

/** As {@link each}, of items that a part of them tells apart. */
export function eachOnce<T>(
  items: readonly T[] | undefined,
  countMax: number,
  path: string,
  key: (item: T) => { readonly value: string; readonly field?: string },
  check: (item: T, path: string) => FieldCause[],
): FieldCause[] {
  const causes = each(items, countMax, path, check);
  const seen = new Set<string>();
  for (const [index, item] of (items ?? []).entries()) {
    const { value, field } = key(item);
    const at = `${path}[${index}]${field === undefined ? "" : `.${field}`}`;
    if (seen.has(value)) causes.push(duplicate(at, value));
    seen.add(value);
  }
  return causes;
}

/** `stored`: what compiled once is not compiled again. */
export function validateSelectors(
  selectors: readonly DeviceSelector[] | undefined,
  path: string,
  stored?: readonly DeviceSelector[],
): FieldCause[] {
  const same = stored !== undefined && equalJson(stored, selectors ?? []);
  return each(selectors, selectorsMax, path, ({ cel }, at) => {
    if (cel === undefined) return [required(`${at}.cel`)];
    const field = `${at}.cel.expression`;
    const { expression = "" } = cel;
    if (Buffer.byteLength(expression) > expressionBytesMax) {
      return [tooLong(field, expressionBytesMax)];
    }
    const problem = same ? undefined : deviceExpressionProblem(expression);
    return problem === undefined ? [] : [invalid(field, expression, problem)];
  });
}

export function validateConfiguration(
  opaque: OpaqueDeviceConfiguration | undefined,
  path: string,
): FieldCause[] {
  if (opaque === undefined) return [required(`${path}.opaque`)];
  const { driver = "", parameters } = opaque;
  return [
    ...validateDriverName(driver, `${path}.opaque.driver`),
    ...validateParameters(parameters, `${path}.opaque.parameters`),
  ];
}

function validateParameters(parameters: object | undefined, field: string): FieldCause[] {
  if (parameters === undefined) return [required(field)];
  return validateSize(parameters, parametersBytesMax, field);
}

/** Of a JSON object in a form that only a driver knows. */
export function validateSize(value: object, bytesMax: number, field: string): FieldCause[] {
  return Buffer.byteLength(JSON.stringify(value)) > bytesMax ? [tooLong(field, bytesMax)] : [];
}

export function validateLabelName(name: string, field: string): FieldCause[] {
  return wrong(field, name, checkLabelName(name));
}

export function validatePoolName(name: string, field: string): FieldCause[] {
  if (name === "") return [required(field)];
  const long = Buffer.byteLength(name) > poolLengthMax ? [tooLong(field, poolLengthMax)] : [];
  return [...long, ...name.split("/").flatMap((part) => wrong(field, part, checkSubdomain(part)))];
}

/** `name` or `domain/name`, of attributes and capacities. */
export function validateAttributeName(name: string, field: string): FieldCause[] {
  if (name === "") return [required(field, "name required")];
  const [first = "", second, ...more] = name.split("/");
  // Upstream takes a name with several slashes, which no expression could read.
  if (more.length > 0) return [invalid(field, name, "must not hold more than one slash")];
  if (second === undefined) return validateIdentifier(first, field);
  return [
    ...(first === ""
      ? [required(field, "the domain must not be empty")]
      : validateDriverName(first, field)),
    ...(second === ""
      ? [required(field, "the name must not be empty")]
      : validateIdentifier(second, field)),
  ];
}

export function validateFullAttributeName(name: string, field: string): FieldCause[] {
  const causes = validateAttributeName(name, field);
  if (name === "" || name.includes("/")) return causes;
  return [...causes, invalid(field, name, "must include a domain")];
}

function validateIdentifier(name: string, field: string): FieldCause[] {
  const causes: FieldCause[] = [];
  if (Buffer.byteLength(name) > identifierLengthMax) {
    causes.push(tooLong(field, identifierLengthMax));
  }
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return causes;
  const detail =
    "a valid C identifier must start with alphabetic character or '_', followed by a string of " +
    "alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for " +
    "validation is '[A-Za-z_][A-Za-z0-9_]*')";
  return [...causes, invalid(field, name, detail)];
}

export function validateToleration(toleration: DeviceToleration, path: string): FieldCause[] {
  const { key = "", operator = "", value = "", effect = "" } = toleration;
  const causes = key === "" ? [] : wrong(`${path}.key`, key, checkQualifiedName(key));
  if (operator === "Exists") {
    const detail = "must be empty for operator `Exists`";
    if (value !== "") causes.push(invalid(`${path}.value`, value, detail));
  } else if (operator === "Equal") {
    causes.push(...wrong(`${path}.value`, value, checkLabelValue(value)));
  } else if (operator === "") causes.push(required(`${path}.operator`));
  else causes.push(notSupported(`${path}.operator`, operator, ["Equal", "Exists"]));
  if (effect !== "" && !effects.includes(effect)) {
    causes.push(notSupported(`${path}.effect`, effect, effects));
  }
  return causes;
}

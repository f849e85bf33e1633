/** What claims and templates of claims ask for: defaults and checks. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type {
  DeviceClaim,
  DeviceConstraint,
  DeviceRequest,
  DeviceSubRequest,
  ExactDeviceRequest,
} from "../../../proto/gen/resource.ts";
import { invalid, notSupported, required } from "../machinery/causes.ts";
import { wrong } from "../machinery/field-rules.ts";
import { checkSubdomain } from "../machinery/names.ts";
import {
  configsMax,
  each,
  eachOnce,
  validateConfiguration,
  validateFullAttributeName,
  validateLabelName,
  validateSelectors,
  validateToleration,
} from "./checks.ts";

export const requestsMax = 32;
const constraintsMax = 32;
const alternativesMax = 8;
const tolerationsMax = 16;

export function setClaimDefaults(claim: DeviceClaim | undefined): void {
  for (const { exactly, firstAvailable = [] } of claim?.requests ?? []) {
    for (const one of [...(exactly === undefined ? [] : [exactly]), ...firstAvailable]) {
      if (!one.allocationMode) one.allocationMode = "ExactCount";
      if (one.allocationMode === "ExactCount" && !one.count) one.count = 1;
      for (const toleration of one.tolerations ?? []) toleration.operator ||= "Equal";
    }
  }
}

/** `stored`: a claim that does not change, whose expressions compiled once. */
export function validateClaim(
  claim: DeviceClaim,
  path: string,
  stored?: DeviceClaim,
): FieldCause[] {
  const { requests, constraints, config } = claim;
  const names = requestNamesOf(claim);
  const known = new Map((stored?.requests ?? []).map((request) => [request.name, request]));
  return [
    ...eachOnce(
      requests,
      requestsMax,
      `${path}.requests`,
      ({ name = "" }) => ({ value: name, field: "name" }),
      (request, at) => validateRequest(request, at, known.get(request.name)),
    ),
    ...each(constraints, constraintsMax, `${path}.constraints`, (constraint, at) =>
      validateConstraint(constraint, at, names),
    ),
    ...each(config, configsMax, `${path}.config`, ({ requests, opaque }, at) => [
      ...validateRequestNames(requests, `${at}.requests`, names),
      ...validateConfiguration(opaque, at),
    ]),
  ];
}

/** Names of requests and, behind a slash, of their alternatives. */
export type RequestNames = ReadonlySet<string>;

export function requestNamesOf({ requests = [] }: DeviceClaim): RequestNames {
  return new Set(
    requests.flatMap(({ name = "", firstAvailable = [] }) => [
      name,
      ...firstAvailable.map((one) => `${name}/${one.name ?? ""}`),
    ]),
  );
}

export function validateRequestNames(
  requests: readonly string[] | undefined,
  path: string,
  names: RequestNames,
): FieldCause[] {
  const key = (value: string) => ({ value });
  return eachOnce(requests, requestsMax, path, key, (name, at) =>
    validateRequestName(name, at, names),
  );
}

export function validateRequestName(
  name: string,
  field: string,
  names: RequestNames,
): FieldCause[] {
  const detail =
    "must be the name of a request in the claim or the name of a request and a subrequest " +
    "separated by '/'";
  const parts = name.split("/");
  if (parts.length > 2) return [invalid(field, name, detail)];
  const causes = parts.flatMap((part) => validateLabelName(part, field));
  return names.has(name) ? causes : [...causes, invalid(field, name, detail)];
}

function validateRequest(
  request: DeviceRequest,
  path: string,
  stored: DeviceRequest | undefined,
): FieldCause[] {
  const { name = "", exactly, firstAvailable = [] } = request;
  const known = new Map((stored?.firstAvailable ?? []).map((one) => [one.name, one]));
  const causes = [
    ...validateLabelName(name, `${path}.name`),
    ...eachOnce(
      firstAvailable,
      alternativesMax,
      `${path}.firstAvailable`,
      (one) => ({ value: one.name ?? "", field: "name" }),
      (one, at) => [
        ...validateLabelName(one.name ?? "", `${at}.name`),
        ...validateDescription(one, at, known.get(one.name)),
      ],
    ),
  ];
  if (exactly !== undefined) {
    causes.push(...validateDescription(exactly, `${path}.exactly`, stored?.exactly));
  }
  const detail = "exactly one of `exactly` or `firstAvailable` is required";
  if (exactly === undefined && firstAvailable.length === 0) causes.push(required(path, detail));
  if (exactly !== undefined && firstAvailable.length > 0) {
    causes.push(invalid(path, null, `${detail}, but multiple fields are set`));
  }
  return causes;
}

function validateDescription(
  one: ExactDeviceRequest | DeviceSubRequest,
  path: string,
  stored: ExactDeviceRequest | DeviceSubRequest | undefined,
): FieldCause[] {
  const { deviceClassName = "", selectors, tolerations } = one;
  const field = `${path}.deviceClassName`;
  return [
    ...(deviceClassName === ""
      ? [required(field)]
      : wrong(field, deviceClassName, checkSubdomain(deviceClassName))),
    ...validateSelectors(selectors, `${path}.selectors`, stored?.selectors),
    ...validateMode(one, path),
    ...each(tolerations, tolerationsMax, `${path}.tolerations`, validateToleration),
  ];
}

function validateMode(
  { allocationMode = "", count = 0 }: ExactDeviceRequest | DeviceSubRequest,
  path: string,
): FieldCause[] {
  const field = `${path}.count`;
  if (allocationMode === "All") {
    const detail = "must not be specified when allocationMode is 'All'";
    return count === 0 ? [] : [invalid(field, count, detail)];
  }
  if (allocationMode === "ExactCount") {
    return count > 0 ? [] : [invalid(field, count, "must be greater than zero")];
  }
  return [notSupported(`${path}.allocationMode`, allocationMode, ["All", "ExactCount"])];
}

function validateConstraint(
  { requests, matchAttribute }: DeviceConstraint,
  path: string,
  names: RequestNames,
): FieldCause[] {
  const field = `${path}.matchAttribute`;
  return [
    ...validateRequestNames(requests, `${path}.requests`, names),
    ...(matchAttribute === undefined
      ? [required(field)]
      : validateFullAttributeName(matchAttribute, field)),
  ];
}

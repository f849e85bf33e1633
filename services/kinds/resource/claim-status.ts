/** The status of a claim: what was allocated, for whom, and what drivers say of it. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type {
  AllocatedDeviceStatus,
  AllocationResult,
  DeviceAllocationConfiguration,
  DeviceRequestAllocationResult,
  NetworkDeviceData,
  ResourceClaim,
  ResourceClaimConsumerReference,
  ResourceClaimStatus,
} from "../../../proto/gen/resource.ts";
import { validateNodeSelector } from "../core/pod/validation.ts";
import {
  forbidden,
  invalid,
  notSupported,
  required,
  tooLong,
  tooMany,
} from "../machinery/causes.ts";
import { checkInterfaceAddress } from "../machinery/cidr.ts";
import { validateConditions } from "../machinery/condition-validation.ts";
import { unchanged, validateDriverName, wrong } from "../machinery/field-rules.ts";
import { equalJson } from "../machinery/json.ts";
import {
  configsMax,
  each,
  eachOnce,
  validateConfiguration,
  validateLabelName,
  validatePoolName,
  validateSize,
} from "./checks.ts";
import {
  type RequestNames,
  requestNamesOf,
  requestsMax,
  validateRequestName,
  validateRequestNames,
} from "./device-claim.ts";

const consumersMax = 256;
const conditionsMax = 8;
const dataBytesMax = 10 * 1_024;
const addressesMax = 16;
const interfaceNameBytesMax = 256;
const hardwareAddressBytesMax = 128;

interface DeviceId {
  readonly driver?: string | undefined;
  readonly pool?: string | undefined;
  readonly device?: string | undefined;
}

/** E.g. `gpu.example.com/node-1/gpu-0`. */
const deviceId = ({ driver = "", pool = "", device = "" }: DeviceId) =>
  `${driver}/${pool}/${device}`;
const allocatedOf = ({ allocation }: ResourceClaimStatus): Set<string> =>
  new Set(allocation?.devices?.results?.map(deviceId));

/** Without what drivers said of devices that are no longer allocated. */
export function dropDeallocated(
  next: ResourceClaimStatus,
  stored: ResourceClaimStatus,
): ResourceClaimStatus {
  const { devices } = next;
  if (devices === undefined) return next;
  const now = allocatedOf(next);
  const gone = new Set([...allocatedOf(stored)].filter((id) => !now.has(id)));
  const left = devices.filter((one) => !gone.has(deviceId(one)));
  if (left.length === devices.length) return next;
  const { devices: _, ...others } = next;
  return left.length === 0 ? others : { ...others, devices: left };
}

export function validateStatus(claim: ResourceClaim, stored: ResourceClaimStatus): FieldCause[] {
  const status = claim.status ?? {};
  const { allocation, reservedFor = [], devices } = status;
  const allocated = allocatedOf(status);
  const causes = [
    ...eachOnce(
      reservedFor,
      consumersMax,
      "status.reservedFor",
      ({ uid = "" }) => ({ value: uid, field: "uid" }),
      validateConsumer,
    ),
    ...eachOnce(
      devices,
      Number.POSITIVE_INFINITY,
      "status.devices",
      (one) => ({ value: deviceId(one), field: "deviceID" }),
      (one, at) => validateDevice(one, at, allocated),
    ),
  ];
  const field = "status.reservedFor";
  if (reservedFor.length > 0 && allocation === undefined) {
    causes.push(forbidden(field, "may not be specified when `allocated` is not set"));
  } else if (claim.metadata?.deletionTimestamp !== undefined) {
    const added = reservedFor.some(
      (one) => !stored.reservedFor?.some((other) => equalJson(one, other)),
    );
    const detail =
      "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
    if (added) causes.push(forbidden(field, detail));
  }
  if (allocation === undefined) return causes;
  if (stored.allocation !== undefined) {
    return [...causes, ...unchanged("status.allocation", allocation, stored.allocation)];
  }
  return [...causes, ...validateAllocation(allocation, requestNamesOf(claim.spec?.devices ?? {}))];
}

function validateConsumer(
  { resource = "", name = "", uid = "" }: ResourceClaimConsumerReference,
  path: string,
): FieldCause[] {
  return Object.entries({ resource, name, uid })
    .filter(([, value]) => value === "")
    .map(([field]) => required(`${path}.${field}`));
}

function validateAllocation(
  { devices = {}, nodeSelector }: AllocationResult,
  names: RequestNames,
): FieldCause[] {
  const path = "status.allocation";
  return [
    ...each(devices.results, requestsMax, `${path}.devices.results`, (result, at) =>
      validateResult(result, at, names),
    ),
    // Those of the claim, and those of its classes.
    ...each(devices.config, 2 * configsMax, `${path}.devices.config`, (config, at) =>
      validateAllocatedConfiguration(config, at, names),
    ),
    ...(nodeSelector === undefined
      ? []
      : validateNodeSelector(nodeSelector, `${path}.nodeSelector`)),
  ];
}

function validateResult(
  result: DeviceRequestAllocationResult,
  path: string,
  names: RequestNames,
): FieldCause[] {
  const { request = "", driver = "", pool = "", device = "" } = result;
  return [
    ...validateRequestName(request, `${path}.request`, names),
    ...validateDriverName(driver, `${path}.driver`),
    ...validatePoolName(pool, `${path}.pool`),
    ...validateLabelName(device, `${path}.device`),
  ];
}

function validateAllocatedConfiguration(
  { source = "", requests, opaque }: DeviceAllocationConfiguration,
  path: string,
  names: RequestNames,
): FieldCause[] {
  const sources = ["FromClaim", "FromClass"];
  const field = `${path}.source`;
  const causes: FieldCause[] = [];
  if (source === "") causes.push(required(field));
  else if (!sources.includes(source)) causes.push(notSupported(field, source, sources));
  return [
    ...causes,
    ...validateRequestNames(requests, `${path}.requests`, names),
    ...validateConfiguration(opaque, path),
  ];
}

function validateDevice(
  status: AllocatedDeviceStatus,
  path: string,
  allocated: ReadonlySet<string>,
): FieldCause[] {
  const { driver = "", pool = "", device = "", conditions = [], data, networkData } = status;
  const causes = [
    ...validateDriverName(driver, `${path}.driver`),
    ...validatePoolName(pool, `${path}.pool`),
    ...validateLabelName(device, `${path}.device`),
  ];
  const id = deviceId(status);
  if (!allocated.has(id)) {
    causes.push(invalid(path, id, "must be an allocated device in the claim"));
  }
  const field = `${path}.conditions`;
  if (conditions.length > conditionsMax) {
    causes.push(tooMany(field, conditions.length, conditionsMax));
  }
  causes.push(...validateConditions(conditions, field));
  if (data !== undefined) causes.push(...validateSize(data, dataBytesMax, `${path}.data`));
  if (networkData === undefined) return causes;
  return [...causes, ...validateNetwork(networkData, `${path}.networkData`)];
}

function validateNetwork(data: NetworkDeviceData, path: string): FieldCause[] {
  const { interfaceName = "", hardwareAddress = "", ips } = data;
  const causes: FieldCause[] = [];
  if (Buffer.byteLength(interfaceName) > interfaceNameBytesMax) {
    causes.push(tooLong(`${path}.interfaceName`, interfaceNameBytesMax));
  }
  if (Buffer.byteLength(hardwareAddress) > hardwareAddressBytesMax) {
    causes.push(tooLong(`${path}.hardwareAddress`, hardwareAddressBytesMax));
  }
  const key = (value: string) => ({ value });
  const check = (text: string, at: string) => wrong(at, text, checkInterfaceAddress(text));
  return [...causes, ...eachOnce(ips, addressesMax, `${path}.ips`, key, check)];
}

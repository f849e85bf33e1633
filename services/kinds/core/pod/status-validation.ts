/** What a write of a pod's status may say (upstream `ValidatePodStatusUpdate`). */
import { isIPv6 } from "node:net";
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type {
  ContainerStatus,
  Pod,
  PodCondition,
  PodSpec,
  PodStatus,
} from "../../../../proto/gen/core.ts";
import { duplicate, forbidden, invalid } from "../../machinery/causes.ts";
import { checkAddress, checkQualifiedName, checkSubdomain } from "../../machinery/names.ts";
import { validateId } from "./security-validation.ts";

const systemConditions: ReadonlySet<string> = new Set(["PodScheduled", "Ready", "Initialized"]);
const statusLists = [
  "containerStatuses",
  "initContainerStatuses",
  "ephemeralContainerStatuses",
] as const;
type StatusList = (typeof statusLists)[number];

export function validatePodStatusUpdate(next: Pod, stored: Pod): FieldCause[] {
  const [status, before] = [next.status ?? {}, stored.status ?? {}];
  const spec = stored.spec ?? {};
  return [
    ...validateConditions(status.conditions ?? []),
    ...validateNomination(status, before, spec),
    ...validateGeneration(status.observedGeneration, "status.observedGeneration"),
    ...validateQosClass(status, before),
    ...statusLists.flatMap((list) => validateTransitions(list, status, before, spec)),
    ...validateClaims(status, spec),
    ...validatePodAddresses(status, before),
    ...validateHostAddresses(status, before),
    ...statusLists.flatMap((list) => validateUsers(status[list] ?? [], `status.${list}`)),
    ...validateNoResources(status.ephemeralContainerStatuses ?? []),
  ];
}

function validateConditions(conditions: readonly PodCondition[]): FieldCause[] {
  return conditions.flatMap(({ type = "", observedGeneration }, index) => {
    const path = `status.conditions[${index}]`;
    const causes = validateGeneration(observedGeneration, `${path}.observedGeneration`);
    if (systemConditions.has(type)) return causes;
    const problems = checkQualifiedName(type);
    // The field's name is written as upstream writes it.
    return [...causes, ...problems.map((problem) => invalid(`${path}.Type`, type, problem))];
  });
}

function validateGeneration(generation: number | bigint | undefined, path: string): FieldCause[] {
  if (generation === undefined || generation >= 0) return [];
  return [invalid(path, generation, "must be a non-negative integer")];
}

function validateNomination(status: PodStatus, before: PodStatus, spec: PodSpec): FieldCause[] {
  const { nominatedNodeName: name = "" } = status;
  if (name === "" || name === before.nominatedNodeName) return [];
  const path = "status.nominatedNodeName";
  const causes = checkSubdomain(name).map((problem) => invalid(path, name, problem));
  if (!spec.nodeName) return causes;
  return [...causes, forbidden(path, "may not be set on pods that are already bound to a node")];
}

function validateQosClass({ qosClass }: PodStatus, before: PodStatus): FieldCause[] {
  if (qosClass === before.qosClass) return [];
  return [invalid("status.qosClass", qosClass ?? "", "field is immutable")];
}

/** A container that has ended for good does not come back. */
function validateTransitions(
  list: StatusList,
  status: PodStatus,
  before: PodStatus,
  spec: PodSpec,
): FieldCause[] {
  const next = status[list] ?? [];
  return (before[list] ?? []).flatMap((old, index) => {
    if (old.state?.terminated === undefined || mayRestart(list, old, spec)) return [];
    const returns = next.some(({ name, state }) => name === old.name && !state?.terminated);
    if (!returns) return [];
    const detail = "may not be transitioned to non-terminated state";
    return [forbidden(`status.${list}[${index}].state`, detail)];
  });
}

function mayRestart(list: StatusList, { name, state }: ContainerStatus, spec: PodSpec): boolean {
  if (list === "ephemeralContainerStatuses") return false;
  const { restartPolicy } = spec;
  if (restartPolicy === "Always") return true;
  if (restartPolicy === "OnFailure" && (state?.terminated?.exitCode ?? 0) !== 0) return true;
  if (list === "containerStatuses") return false;
  const container = spec.initContainers?.find((each) => each.name === name);
  return container?.restartPolicy === "Always";
}

function validateClaims({ resourceClaimStatuses = [] }: PodStatus, spec: PodSpec): FieldCause[] {
  const known = new Set((spec.resourceClaims ?? []).map(({ name }) => name));
  const seen = new Set<string>();
  return resourceClaimStatuses.flatMap(({ name = "", resourceClaimName }, index) => {
    const path = `status.resourceClaimStatuses[${index}].name`;
    const causes: FieldCause[] = [];
    if (!known.has(name)) {
      causes.push(invalid(path, name, "must match the name of an entry in `spec.resourceClaims`"));
    }
    if (seen.has(name)) causes.push(duplicate(path, name));
    seen.add(name);
    if (resourceClaimName === undefined) return causes;
    const problems = checkSubdomain(resourceClaimName);
    return [...causes, ...problems.map((each) => invalid(path, resourceClaimName, each))];
  });
}

function validatePodAddresses(status: PodStatus, before: PodStatus): FieldCause[] {
  return validateAddresses(addressesOf(status.podIPs), addressesOf(before.podIPs), "status.podIPs");
}

function validateHostAddresses(status: PodStatus, before: PodStatus): FieldCause[] {
  const path = "status.hostIPs";
  const addresses = addressesOf(status.hostIPs);
  const [first] = addresses;
  if (first === undefined) return [];
  const causes = validateAddresses(addresses, addressesOf(before.hostIPs), path);
  if (first === status.hostIP) return causes;
  return [invalid(`${path}[0].ip`, first, "must be equal to `hostIP`"), ...causes];
}

function addressesOf(list: readonly { readonly ip?: string | undefined }[] = []): string[] {
  return list.map(({ ip = "" }) => ip);
}

/** What is stored already, by an older release, may stay. */
function validateAddresses(
  addresses: readonly string[],
  before: readonly string[],
  path: string,
): FieldCause[] {
  const causes = addresses.flatMap((address, index) => {
    if (before.includes(address)) return [];
    return checkAddress(address).map((problem) => invalid(`${path}[${index}]`, address, problem));
  });
  const families = new Set(addresses.map((address) => isIPv6(address)));
  if (addresses.length === families.size || addresses.length === 0) return causes;
  const detail = "may specify no more than one IP for each IP family";
  return [
    ...causes,
    invalid(
      path,
      addresses.map((ip) => ({ ip })),
      detail,
    ),
  ];
}

function validateUsers(statuses: readonly ContainerStatus[], path: string): FieldCause[] {
  return statuses.flatMap(({ user }, index) => {
    if (user?.linux === undefined) return [];
    const { uid, gid, supplementalGroups = [] } = user.linux;
    const at = `${path}[${index}].user.linux`;
    return [
      ...validateId(uid, `${at}.uid`),
      ...validateId(gid, `${at}.gid`),
      ...supplementalGroups.flatMap((id, n) => validateId(id, `${at}.supplementalGroups[${n}]`)),
    ];
  });
}

function validateNoResources(statuses: readonly ContainerStatus[]): FieldCause[] {
  return statuses.flatMap(({ allocatedResourcesStatus = [] }, index) => {
    if (allocatedResourcesStatus.length === 0) return [];
    const path = `status.ephemeralContainerStatuses[${index}].allocatedResourcesStatus`;
    return [forbidden(path, "must not be specified in container status")];
  });
}

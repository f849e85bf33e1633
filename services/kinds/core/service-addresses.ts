/** The addresses that a service has within the cluster, and the families of these. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { ServiceSpec } from "../../../proto/gen/core.ts";
import { duplicate, invalid, required } from "../machinery/causes.ts";
import { wrong } from "../machinery/field-rules.ts";
import { checkAddress } from "../machinery/names.ts";
import { oneOf } from "./pod/field-checks.ts";

/** The address of a service that has none. */
export const noAddress = "None";

const families = ["IPv4", "IPv6"];
const familyPolicies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
const addressesMax = 2;
const fixed = "may not change once set";

type AddressSpec = Pick<
  ServiceSpec,
  "type" | "clusterIP" | "clusterIPs" | "ipFamilies" | "ipFamilyPolicy"
>;

/** Whether it has been made without an address (upstream's `isHeadlessService` of validation). */
export function isHeadless({ clusterIPs = [] }: AddressSpec): boolean {
  return clusterIPs.length === 1 && clusterIPs[0] === noAddress;
}

const isIPv6 = (address: string): boolean => address.includes(":");

/** Upstream's `ValidateServiceClusterIPsRelatedFields`. */
export function validateClusterAddresses(spec: AddressSpec): FieldCause[] {
  const { type, clusterIPs = [], ipFamilies = [], ipFamilyPolicy } = spec;
  if (type === "ExternalName") return [];
  const seen = new Set<string>();
  const causes = [
    ...validateSingular(spec),
    ...ipFamilies.flatMap((family, index) => {
      const at = `spec.ipFamilies[${index}]`;
      const repeated = seen.has(family) ? [duplicate(at, family)] : [];
      seen.add(family);
      return [...oneOf(family, families, at), ...repeated];
    }),
    ...oneOf(ipFamilyPolicy, familyPolicies, "spec.ipFamilyPolicy"),
  ];
  const strange = validateEach(clusterIPs);
  causes.push(...strange);
  if (clusterIPs.length > addressesMax) {
    causes.push(invalid("spec.clusterIPs", clusterIPs, "may only hold up to 2 values"));
  }
  if (strange.length > 0) return causes;
  if (clusterIPs.length > 1 && new Set(clusterIPs.map(isIPv6)).size < 2) {
    const detail = "may specify no more than one IP for each IP family";
    causes.push(invalid("spec.clusterIPs", clusterIPs, detail));
  }
  return isHeadless(spec) ? causes : [...causes, ...validateFamilies(clusterIPs, ipFamilies)];
}

function validateSingular({ clusterIP = "", clusterIPs = [] }: AddressSpec): FieldCause[] {
  const path = "spec.clusterIPs";
  if (clusterIP === "") {
    if (clusterIPs.length === 0) return [];
    return [invalid(path, clusterIPs, "must be empty when `clusterIP` is not specified")];
  }
  if (clusterIPs.length === 0) return [required(path)];
  if (clusterIPs[0] === clusterIP) return [];
  return [invalid(path, clusterIPs, "first value must match `clusterIP`")];
}

function validateEach(addresses: readonly string[]): FieldCause[] {
  return addresses.flatMap((address, index) => {
    const at = `spec.clusterIPs[${index}]`;
    if (index > 0 || address !== noAddress) return wrong(at, address, checkAddress(address));
    if (addresses.length === 1) return [];
    return [invalid("spec.clusterIPs", addresses, "'None' must be the first and only value")];
  });
}

function validateFamilies(addresses: readonly string[], wanted: readonly string[]): FieldCause[] {
  return addresses.flatMap((address, index) => {
    const family = wanted[index];
    if (family === undefined || (family === "IPv6") === isIPv6(address)) return [];
    if (!families.includes(family)) return [];
    const detail = `expected an ${family} value as indicated by \`ipFamilies[${index}]\``;
    return [invalid(`spec.clusterIPs[${index}]`, address, detail)];
  });
}

/** What of the addresses may not change: the first one, unless the service leads elsewhere. */
export function validateAddressChange(next: AddressSpec, before: AddressSpec): FieldCause[] {
  if (next.type === "ExternalName" || before.type === "ExternalName") return [];
  return [...validateIPChange(next, before), ...validateFamilyChange(next, before)];
}

function validateIPChange(next: AddressSpec, before: AddressSpec): FieldCause[] {
  if (isHeadless(next) && isHeadless(before)) return [];
  const [now, old] = [next.clusterIPs ?? [], before.clusterIPs ?? []];
  const changed = (index: number) => invalid(`spec.clusterIPs[${index}]`, next.clusterIPs, fixed);
  if (now.length === old.length) {
    return old.flatMap((address, index) => (address === now[index] ? [] : [changed(index)]));
  }
  const causes: FieldCause[] = [];
  if (now.length === 0) {
    const detail = "primary clusterIP can not be unset";
    causes.push(invalid("spec.clusterIPs[0]", next.clusterIPs, detail));
  } else if (old.length > 0 && now[0] !== old[0]) causes.push(changed(0));
  return [...causes, ...validateRelease(next, now, old, "clusterIP")];
}

/** Of headless services they may change. */
function validateFamilyChange(next: AddressSpec, before: AddressSpec): FieldCause[] {
  if (isHeadless(next) || isHeadless(before)) return [];
  const [now, old] = [next.ipFamilies ?? [], before.ipFamilies ?? []];
  const path = "spec.ipFamilies[0]";
  if (now.length === old.length) {
    const changes = old.filter((family, index) => family !== now[index]);
    return changes.map(() => invalid(path, next.ipFamilies, fixed));
  }
  const causes: FieldCause[] = [];
  if (now.length > 0 && old.length > 0 && now[0] !== old[0]) {
    // Upstream shows the addresses here.
    causes.push(invalid(path, next.clusterIPs, fixed));
  }
  return [...causes, ...validateRelease(next, now, old, "ipFamily")];
}

function validateRelease(
  { ipFamilyPolicy }: AddressSpec,
  now: readonly string[],
  old: readonly string[],
  what: string,
): FieldCause[] {
  if (old.length <= now.length || now.length !== 1 || ipFamilyPolicy === "SingleStack") return [];
  const detail = `must be set to 'SingleStack' when releasing the secondary ${what}`;
  return [invalid("spec.ipFamilyPolicy", ipFamilyPolicy, detail)];
}

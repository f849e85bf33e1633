import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { Operation } from "../../../ha/store/types.ts";
import type { ServiceSpec } from "../../../proto/gen/core.ts";
import {
  type Document,
  invalid as invalidCause,
  noAddress,
  validateClusterAddresses,
} from "../../kinds/mod.ts";
import type { AddressRange } from "../address-range.ts";
import { invalid } from "../errors.ts";
import { keyBytes, serviceAddressKey } from "../storage/keys.ts";
import type { AdmissionPlugin, AdmissionRequest, Companions } from "./chain.ts";

const name = "service-addresses";

export interface ServiceAddressOptions {
  /** At most one of a family; the first is that of services which ask for none. */
  readonly ranges: readonly [AddressRange, ...AddressRange[]];
  /** Uniform integer in 0..limit-1. */
  readonly random: (limit: number) => number;
}

/**
 * Gives services their cluster IPs, and keeps every address to one service: each has a key of its
 * own that only one service's transaction can create (upstream's IP allocator).
 */
export function serviceAddresses(options: ServiceAddressOptions): AdmissionPlugin {
  return {
    name,
    resources: ["services"],
    mutate({ operation, resource, name: service, document, stored, notes, subresource }) {
      if (operation === "delete" || document === undefined || subresource !== "") return;
      clearAddresses(document, chosenBefore(notes));
      const spec: ServiceSpec = specOf(document);
      document["spec"] = spec;
      const before = stored === undefined ? undefined : specOf(stored);
      keepAddress(spec, before);
      // As upstream, these faults are told before any others are looked for.
      const refuse = (causes: readonly FieldCause[]) => {
        if (causes.length > 0) throw invalid(resource, service, causes);
      };
      setFamilies(options.ranges, spec, before, refuse);
      notes.set(name, assignAddresses(options, spec, before, refuse));
      if (before !== undefined) dropUnused(spec, before);
    },
    companions: (request) => allocations(request),
  };
}

/** Addresses that an earlier attempt at the same request chose by itself. */
function chosenBefore(notes: AdmissionRequest["notes"]): readonly string[] {
  return (notes.get(name) as readonly string[] | undefined) ?? [];
}

function clearAddresses(document: Document, chosen: readonly string[]): void {
  if (chosen.length === 0) return;
  const spec = specOf(document);
  spec.clusterIPs = (spec.clusterIPs ?? []).filter((address) => !chosen.includes(address));
  if (spec.clusterIPs.length > 0) return;
  delete spec.clusterIP;
  delete spec.clusterIPs;
}

/** Addresses are unique because each has a key that only one service can create. */
function allocations(request: AdmissionRequest): Companions | undefined {
  const { document, stored, resource, notes } = request;
  const before = clusterAddressesOf(specOf(stored));
  const after = clusterAddressesOf(specOf(document));
  const taken = after.filter((address) => !before.includes(address));
  const freed = before.filter((address) => !after.includes(address)).map(serviceAddressKey);
  if (taken.length === 0 && freed.length === 0) return undefined;
  const owner = Buffer.from(`${document?.metadata?.namespace}/${document?.metadata?.name}`);
  const keys = taken.map(serviceAddressKey);
  return {
    compares: keys.map((key) => ({
      key: keyBytes(key),
      target: "version",
      operator: "=",
      operand: 0,
    })),
    operations: [
      ...keys.map((key): Operation => ({ op: "put", key: keyBytes(key), value: owner })),
      ...freed.map((key): Operation => ({ op: "delete", key: keyBytes(key) })),
    ],
    reads: keys,
    explain(found) {
      const asked = taken.filter((each) => !chosenBefore(notes).includes(each));
      const address = asked.find((each) => found.get(serviceAddressKey(each)) !== undefined);
      if (address === undefined) return undefined;
      const cause = notAllocated(address, "provided IP is already allocated");
      return invalid(resource, request.name, [cause]);
    },
  };
}

function specOf(document: Document | undefined): ServiceSpec {
  return (document?.["spec"] ?? {}) as ServiceSpec;
}

/** The addresses that a service holds. */
export function clusterAddressesOf({ clusterIP = "", clusterIPs, type }: ServiceSpec): string[] {
  if (type === "ExternalName") return [];
  const all = clusterIPs?.length ? clusterIPs : [clusterIP];
  return all.filter((address) => address !== "" && address !== noAddress);
}

const same = (one: readonly string[] = [], other: readonly string[] = []) =>
  one.length === other.length && one.every((each, index) => each === other[index]);

const hasAddress = ({ type }: ServiceSpec) => type !== "ExternalName";

/**
 * The older field for one address and the newer one for several say the same, and an update that
 * leaves them out keeps what is stored (upstream `patchAllocatedValues`, `normalizeClusterIPs`).
 */
function keepAddress(spec: ServiceSpec, before: ServiceSpec | undefined): void {
  if (before === undefined) {
    if (spec.clusterIP && !spec.clusterIPs?.length) spec.clusterIPs = [spec.clusterIP];
    return;
  }
  const kept = before.clusterIPs ?? (before.clusterIP ? [before.clusterIP] : []);
  if (hasAddress(spec) && hasAddress(before)) {
    spec.clusterIP ||= before.clusterIP;
    if (!spec.clusterIPs?.length && kept.length > 0) spec.clusterIPs = [...kept];
  }
  const address = spec.clusterIP ?? "";
  if (address === (before.clusterIP ?? "") || !same(spec.clusterIPs, kept)) return;
  if (address === "") delete spec.clusterIPs;
  else spec.clusterIPs = [address];
}

/** Throws what is wrong with the object, if anything is. */
type Refuse = (causes: readonly FieldCause[]) => void;

const policyPath = "spec.ipFamilyPolicy";

/** The cluster has the families of its ranges (upstream `initIPFamilyFields`). */
function setFamilies(
  ranges: ServiceAddressOptions["ranges"],
  spec: ServiceSpec,
  before: ServiceSpec | undefined,
  refuse: Refuse,
): void {
  if (!hasAddress(spec) || keepsDualStack(spec, before)) return;
  const free = spec.clusterIP === noAddress && Object.keys(spec.selector ?? {}).length === 0;
  spec.ipFamilyPolicy ??= before?.ipFamilyPolicy ?? (free ? "RequireDualStack" : "SingleStack");
  refuse(validateClusterAddresses(spec));
  const causes = before === undefined ? [] : releaseFamily(spec, before);
  const known = ranges.map(({ family }) => family as string);
  refuse([...causes, ...checkFamilies(spec, known)]);
  const policy = spec.ipFamilyPolicy;
  // Who looks after the addresses of such a service alone may give them any family.
  if (!free) {
    const detail = "this cluster is not configured for dual-stack services";
    const isTooMuch = policy === "RequireDualStack" && known.length < 2;
    refuse([
      ...(isTooMuch ? [invalidCause(policyPath, policy, detail)] : []),
      ...(spec.ipFamilies ?? []).flatMap((family, index) =>
        known.includes(family)
          ? []
          : [invalidCause(`spec.ipFamilies[${index}]`, family, "not configured on this cluster")],
      ),
    ]);
  }
  if (!spec.ipFamilies?.length) spec.ipFamilies = [ranges[0].family];
  const [first, second] = spec.ipFamilies;
  const wantsBoth = policy !== "SingleStack" && (free || known.length === 2);
  if (!wantsBoth || first === undefined || second !== undefined) return;
  spec.ipFamilies = [first, first === "IPv6" ? "IPv4" : "IPv6"];
}

/** Upstream `isMatchingPreferDualStackClusterIPFields`: nothing about the addresses has changed. */
function keepsDualStack(spec: ServiceSpec, before: ServiceSpec | undefined): boolean {
  const wanted = "PreferDualStack";
  return (
    before !== undefined &&
    spec.type === before.type &&
    spec.ipFamilyPolicy === wanted &&
    (before.ipFamilyPolicy ?? wanted) === wanted &&
    same(spec.clusterIPs, before.clusterIPs) &&
    same(spec.ipFamilies, before.ipFamilies)
  );
}

/** The policy alone gives the second address and family back; without it they may not go. */
function releaseFamily(spec: ServiceSpec, before: ServiceSpec): FieldCause[] {
  const { ipFamilyPolicy: policy, clusterIPs = [], ipFamilies = [] } = spec;
  if (policy === "SingleStack") {
    if (same(clusterIPs, before.clusterIPs)) spec.clusterIPs = clusterIPs.slice(0, 1);
    if (same(ipFamilies, before.ipFamilies)) spec.ipFamilies = ipFamilies.slice(0, 1);
    return [];
  }
  const released = (what: string) =>
    invalidCause(policyPath, policy, `must be 'SingleStack' to release the secondary ${what}`);
  const fewer = (now: readonly string[], old: readonly string[] = []) =>
    now.length > 0 && now.length < old.length;
  return [
    ...(fewer(clusterIPs, before.clusterIPs) ? [released("cluster IP")] : []),
    ...(fewer(ipFamilies, before.ipFamilies) ? [released("IP family")] : []),
  ];
}

/** The policy fits the numbers, and each address has its family or one that the cluster has. */
function checkFamilies(spec: ServiceSpec, known: readonly string[]): FieldCause[] {
  const { ipFamilyPolicy: policy, clusterIPs = [], ipFamilies = [] } = spec;
  const detail = (what: string) =>
    `must be 'RequireDualStack' or 'PreferDualStack' when multiple ${what} are specified`;
  const causes: FieldCause[] = [];
  if (policy === "SingleStack") {
    if (clusterIPs.length === 2) {
      causes.push(invalidCause(policyPath, policy, detail("cluster IPs")));
    }
    if (ipFamilies.length === 2) {
      causes.push(invalidCause(policyPath, policy, detail("IP families")));
    }
  }
  const inferred: string[] = [];
  for (const [index, address] of clusterIPs.entries()) {
    if (address === noAddress) break;
    if (index < ipFamilies.length) continue;
    const family = address.includes(":") ? "IPv6" : "IPv4";
    if (known.includes(family)) inferred.push(family);
    else {
      const why = `${family} is not configured on this cluster`;
      causes.push(invalidCause(`spec.clusterIPs[${index}]`, clusterIPs, why));
    }
  }
  if (inferred.length > 0) spec.ipFamilies = [...ipFamilies, ...inferred];
  return causes;
}

/**
 * Gives a service a cluster IP of each of its families where it has none yet. Returns those that
 * were chosen here, in whose place others will do as well. Whether they are free is decided in the
 * store's transaction.
 */
function assignAddresses(
  { ranges, random }: ServiceAddressOptions,
  spec: ServiceSpec,
  before: ServiceSpec | undefined,
  refuse: Refuse,
): readonly string[] {
  if (!hasAddress(spec) || spec.clusterIPs?.[0] === noAddress) return [];
  const held = before === undefined ? [] : clusterAddressesOf(before);
  const addresses = [...(spec.clusterIPs ?? [])];
  const chosen: string[] = [];
  for (const [index, family] of (spec.ipFamilies ?? []).entries()) {
    const range = ranges.find((one) => one.family === family);
    // What the service has already stays, though the ranges may have changed.
    if (range === undefined || index < held.length) continue;
    const address = addresses[index];
    if (address === undefined) {
      const picked = range.pick(random);
      chosen.push(picked);
      addresses.push(picked);
    } else if (!range.contains(address)) {
      const why =
        `the provided IP (${address}) is not in the valid range. ` +
        `The range of valid IPs is ${range.text}`;
      refuse([notAllocated(address, why)]);
    }
  }
  const [first] = addresses;
  if (chosen.length > 0 && first !== undefined) {
    spec.clusterIP = first;
    spec.clusterIPs = addresses;
  }
  return chosen;
}

/**
 * A service that leads elsewhere from now on gives up what it had, if the update carries it along
 * unchanged; otherwise validation refuses it (upstream `dropTypeDependentFields`).
 */
function dropUnused(spec: ServiceSpec, before: ServiceSpec): void {
  if (hasAddress(spec) || !hasAddress(before)) return;
  if (spec.clusterIP === before.clusterIP && same(spec.clusterIPs, before.clusterIPs)) {
    delete spec.clusterIP;
    delete spec.clusterIPs;
  }
  if (same(spec.ipFamilies, before.ipFamilies)) delete spec.ipFamilies;
  if (spec.ipFamilyPolicy === before.ipFamilyPolicy) delete spec.ipFamilyPolicy;
}

function notAllocated(address: string, why: string): FieldCause {
  return invalidCause("spec.clusterIPs", [address], `failed to allocate IP ${address}: ${why}`);
}

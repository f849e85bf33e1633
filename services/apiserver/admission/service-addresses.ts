import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { Operation } from "../../../ha/store/types.ts";
import { type Document, invalid as invalidCause } from "../../kinds/mod.ts";
import type { AddressRange } from "../address-range.ts";
import { invalid } from "../errors.ts";
import { keyBytes, serviceAddressKey } from "../storage/keys.ts";
import type { AdmissionPlugin, AdmissionRequest, Companions } from "./chain.ts";

const name = "service-addresses";

export interface ServiceAddressOptions {
  readonly range: AddressRange;
  /** Uniform integer in 0..limit-1. */
  readonly random: (limit: number) => number;
}

/**
 * Gives services their cluster IP, and keeps every address to one service: each has a key of its own
 * that only one service's transaction can create (upstream's IP allocator).
 */
export function serviceAddresses(options: ServiceAddressOptions): AdmissionPlugin {
  return {
    name,
    resources: ["services"],
    mutate({ operation, document, stored, notes, subresource }) {
      if (operation === "delete" || document === undefined || subresource !== "") return;
      if (notes.get(name) === "chosen") clearAddress(document);
      const chosen = assignAddress(options, document, stored);
      notes.set(name, chosen ? "chosen" : "asked for");
    },
    validate({ resource, name: service, document, stored }) {
      if (document === undefined) return;
      const causes = checkAddresses(options.range, document, stored);
      if (causes.length > 0) throw invalid(resource, service, causes);
    },
    companions: (request) => allocations(request),
  };
}

function clearAddress(document: Document): void {
  const spec = specOf(document);
  delete spec.clusterIP;
  delete spec.clusterIPs;
}

/** Addresses are unique because each has a key that only one service can create. */
function allocations(request: AdmissionRequest): Companions | undefined {
  const { document, stored, resource, notes } = request;
  const before = addressesOf(stored);
  const after = addressesOf(document);
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
      if (notes.get(name) === "chosen") return undefined;
      const address = taken.find((each) => found.get(serviceAddressKey(each)) !== undefined);
      if (address === undefined) return undefined;
      const cause = notAllocated(address, "provided IP is already allocated");
      return invalid(resource, request.name, [cause]);
    },
  };
}

interface ServiceSpec {
  type?: string;
  clusterIP?: string;
  clusterIPs?: string[];
  ipFamilies?: string[];
  ipFamilyPolicy?: string;
}

function specOf(document: Document | undefined): ServiceSpec {
  return (document?.["spec"] ?? {}) as ServiceSpec;
}

/** The addresses a service holds in the range. */
function addressesOf(document: Document | undefined): string[] {
  const { clusterIP, type } = specOf(document);
  const held = clusterIP !== undefined && clusterIP !== "" && clusterIP !== "None";
  return held && type !== "ExternalName" ? [clusterIP] : [];
}

/**
 * Gives a service a cluster IP where it needs one and has none; an update that leaves it out keeps
 * the stored one. True: the address was chosen here, so that another will do as well. Whether it is
 * free is decided in the store's transaction.
 */
function assignAddress(
  options: ServiceAddressOptions,
  next: Document,
  stored: Document | undefined,
): boolean {
  const spec = specOf(next);
  next["spec"] = spec;
  if (spec.type === "ExternalName") {
    delete spec.clusterIP;
    delete spec.clusterIPs;
    return false;
  }
  let chosen = false;
  spec.clusterIP ||= spec.clusterIPs?.[0] ?? "";
  if (spec.clusterIP === "") {
    const kept = specOf(stored);
    if (kept.clusterIP && kept.type !== "ExternalName") spec.clusterIP = kept.clusterIP;
    else {
      spec.clusterIP = options.range.pick(options.random);
      chosen = true;
    }
  }
  if (!spec.clusterIPs?.length || chosen) spec.clusterIPs = [spec.clusterIP];
  if (spec.clusterIP !== "None") spec.ipFamilies ??= ["IPv4"];
  spec.ipFamilyPolicy ??= "SingleStack";
  return chosen;
}

/** What is wrong with the addresses asked for, given those held already. */
function checkAddresses(
  range: AddressRange,
  next: Document,
  stored: Document | undefined,
): FieldCause[] {
  const { clusterIP = "", clusterIPs = [], ipFamilies = [], ipFamilyPolicy } = specOf(next);
  if (ipFamilyPolicy === "RequireDualStack") {
    const detail = "this cluster is not configured for dual-stack services";
    return [invalidCause("spec.ipFamilyPolicy", ipFamilyPolicy, detail)];
  }
  const strange = ipFamilies.findIndex((family) => family !== "IPv4");
  if (strange >= 0) {
    const detail = "not configured on this cluster";
    return [invalidCause(`spec.ipFamilies[${strange}]`, ipFamilies[strange], detail)];
  }
  if (clusterIPs.length > 1) {
    return [invalidCause("spec.clusterIPs", clusterIPs, "only one cluster IP is supported")];
  }
  // The validation of the kind says so.
  if (clusterIP !== (clusterIPs[0] ?? "")) return [];
  const held = addressesOf(stored);
  return addressesOf(next)
    .filter((address) => !held.includes(address) && !range.contains(address))
    .map((address) =>
      notAllocated(
        address,
        `the provided IP (${address}) is not in the valid range. ` +
          `The range of valid IPs is ${range.text}`,
      ),
    );
}

function notAllocated(address: string, why: string): FieldCause {
  return invalidCause("spec.clusterIPs", [address], `failed to allocate IP ${address}: ${why}`);
}

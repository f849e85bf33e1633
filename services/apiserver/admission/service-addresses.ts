import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { type Document, invalid as invalidCause } from "../../kinds/mod.ts";
import type { Backend } from "../verbs/backend.ts";

interface ServiceSpec {
  type?: string;
  clusterIP?: string;
  clusterIPs?: string[];
  ipFamilies?: string[];
  ipFamilyPolicy?: string;
}

export function specOf(document: Document | undefined): ServiceSpec {
  return (document?.["spec"] ?? {}) as ServiceSpec;
}

/** The addresses a service holds in the range. */
export function addressesOf(document: Document | undefined): string[] {
  const { clusterIP, type } = specOf(document);
  const held = clusterIP !== undefined && clusterIP !== "" && clusterIP !== "None";
  return held && type !== "ExternalName" ? [clusterIP] : [];
}

/**
 * Gives a service a cluster IP where it needs one and has none; an update that leaves it out keeps
 * the stored one. True: the address was chosen here, so that another will do as well. Whether it is
 * free is decided in the store's transaction.
 */
export function assignAddress(backend: Backend, next: Document, stored?: Document): boolean {
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
      spec.clusterIP = backend.serviceRange.pick((limit) => backend.random(limit));
      chosen = true;
    }
  }
  if (!spec.clusterIPs?.length || chosen) spec.clusterIPs = [spec.clusterIP];
  if (spec.clusterIP !== "None") spec.ipFamilies ??= ["IPv4"];
  spec.ipFamilyPolicy ??= "SingleStack";
  return chosen;
}

/** What is wrong with the addresses asked for, given those held already. */
export function checkAddresses(
  backend: Backend,
  next: Document,
  stored: Document | undefined,
): FieldCause[] {
  const { clusterIP = "", clusterIPs = [] } = specOf(next);
  if (clusterIPs.length > 1) {
    return [invalidCause("spec.clusterIPs", clusterIPs, "only one cluster IP is supported")];
  }
  if (clusterIP !== (clusterIPs[0] ?? "")) {
    const detail = "first value must match `clusterIP`";
    return [invalidCause("spec.clusterIPs", clusterIPs, detail)];
  }
  const held = addressesOf(stored);
  const { serviceRange } = backend;
  return addressesOf(next)
    .filter((address) => !held.includes(address) && !serviceRange.contains(address))
    .map((address) =>
      notAllocated(
        address,
        `the provided IP (${address}) is not in the valid range. ` +
          `The range of valid IPs is ${serviceRange.text}`,
      ),
    );
}

export function notAllocated(address: string, why: string): FieldCause {
  return invalidCause("spec.clusterIPs", [address], `failed to allocate IP ${address}: ${why}`);
}

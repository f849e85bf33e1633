/** Names of resources in quotas and limits (upstream `core/helper`). */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { invalid } from "../machinery/causes.ts";
import { checkQualifiedName } from "../machinery/names.ts";
import { parseQuantity, quantityMessage } from "../machinery/quantity.ts";

const computeResources = ["cpu", "memory", "ephemeral-storage"].flatMap((name) => [
  name,
  `requests.${name}`,
  `limits.${name}`,
]);
/** Counted in whole numbers. */
const countedResources = [
  "pods",
  "resourcequotas",
  "services",
  "replicationcontrollers",
  "secrets",
  "configmaps",
  "persistentvolumeclaims",
  "services.nodeports",
  "services.loadbalancers",
];
const quotaResources: ReadonlySet<string> = new Set([
  ...computeResources,
  ...countedResources,
  "requests.storage",
]);
const standardResources: ReadonlySet<string> = new Set([...quotaResources, "storage"]);
const hugePages = /^(?:requests\.)?hugepages-/;

/** Without a prefix, a quota may be put on these only. */
export function isQuotaResource(name: string): boolean {
  return quotaResources.has(name) || hugePages.test(name);
}

/** Of Kubernetes' own, apart from what cannot be shared. */
export function isOvercommitAllowed(name: string): boolean {
  const native = !name.includes("/") || name.includes("kubernetes.io/");
  return native && !name.startsWith("hugepages-");
}

/** Upstream's `validateResourceName`. */
export function validateResourceName(name: string, path: string): FieldCause[] {
  const causes = checkQualifiedName(name).map((problem) => invalid(path, name, problem));
  if (causes.length > 0 || name.includes("/")) return causes;
  if (standardResources.has(name) || hugePages.test(name)) return causes;
  return [invalid(path, name, "must be a standard resource type or fully qualified")];
}

export function validateQuotaResourceName(name: string, path: string): FieldCause[] {
  const causes = validateResourceName(name, path);
  if (name.includes("/") || isQuotaResource(name)) return causes;
  return [...causes, invalid(path, name, "must be a standard resource for quota")];
}

/** A quantity from 0, whole where the resource is counted. */
export function validateResourceAmount(name: string, text: string, path: string): FieldCause[] {
  const quantity = parseQuantity(text);
  if (quantity === undefined) return [invalid(path, text, quantityMessage)];
  const causes =
    quantity.nanos < 0n ? [invalid(path, text, "must be greater than or equal to 0")] : [];
  const counted = countedResources.includes(name) || isExtended(name);
  if (!counted || quantity.nanos % 1_000_000_000n === 0n) return causes;
  return [...causes, invalid(path, text, "must be an integer")];
}

function isExtended(name: string): boolean {
  return name.includes("/") && !name.includes("kubernetes.io/") && !name.startsWith("requests.");
}

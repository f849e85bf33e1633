/** Amounts of resources (upstream `validation.ValidateResourceRequirements`). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type { ResourceClaim, ResourceRequirements } from "../../../../proto/gen/core.ts";
import {
  duplicate,
  forbidden,
  invalid,
  notFound,
  notSupported,
  required,
} from "../../machinery/causes.ts";
import { wrong } from "../../machinery/field-rules.ts";
import { checkLabelName, checkQualifiedName } from "../../machinery/names.ts";
import { compareQuantities, parseQuantity, quantityMessage } from "../../machinery/quantity.ts";
import { validateResourceName } from "../resource-names.ts";

const hugePagesPrefix = "hugepages-";
const fractionalResources = new Set(["cpu"]);
export const containerResources = new Set(["cpu", "memory", "ephemeral-storage"]);

export function validateResources(
  resources: ResourceRequirements | undefined,
  path: string,
  podClaims: ReadonlySet<string>,
): FieldCause[] {
  const { limits = {}, requests = {}, claims = [] } = resources ?? {};
  const causes = [
    ...validateAmounts(limits, `${path}.limits`, containerResources),
    ...validateAmounts(requests, `${path}.requests`, containerResources),
  ];
  for (const [name, text] of Object.entries(requests)) {
    if (!Object.hasOwn(limits, name)) {
      if (isOvercommitAllowed(name)) continue;
      causes.push(required(`${path}.limits`, "Limit must be set for non overcommitable resources"));
      continue;
    }
    const [request, limit] = [parseQuantity(text), parseQuantity(limits[name] ?? "")];
    if (request === undefined || limit === undefined) continue;
    if (!isOvercommitAllowed(name) && compareQuantities(request, limit) !== 0) {
      const detail = `must be equal to ${name} limit of ${limits[name]}`;
      causes.push(invalid(`${path}.requests`, text, detail));
    } else if (compareQuantities(request, limit) > 0) {
      const detail = `must be less than or equal to ${name} limit of ${limits[name]}`;
      causes.push(invalid(`${path}.requests`, text, detail));
    }
  }
  const named = new Set([...Object.keys(limits), ...Object.keys(requests)]);
  const hugePages = [...named].some((name) => name.startsWith(hugePagesPrefix));
  if (hugePages && !named.has("cpu") && !named.has("memory")) {
    causes.push(forbidden(path, "HugePages require cpu or memory"));
  }
  return [...causes, ...validateClaims(claims, `${path}.claims`, podClaims)];
}

/** Upstream's `SupportedPodLevelResources`; huge pages of any size come on top. */
const podResources = ["cpu", "memory"];

/** Of the pod as a whole, for all its containers together. */
export function validatePodResources(
  resources: ResourceRequirements | undefined,
  path: string,
): FieldCause[] {
  const causes: FieldCause[] = [];
  if (resources?.claims !== undefined) {
    const detail = "claims may not be set for Resources at pod-level";
    causes.push(forbidden(`${path}.claims`, detail));
  }
  for (const list of ["limits", "requests"] as const) {
    for (const name of Object.keys(resources?.[list] ?? {})) {
      if (podResources.includes(name) || name.startsWith(hugePagesPrefix)) continue;
      causes.push(notSupported(`${path}.${list}[${name}]`, name, podResources));
    }
  }
  if (causes.length > 0) return causes;
  return validateResources(resources, path, new Set());
}

/** More than there is may be requested of a resource of Kubernetes' own, huge pages apart. */
function isOvercommitAllowed(name: string): boolean {
  const native = !name.includes("/") || name.includes("kubernetes.io/");
  return native && !name.startsWith(hugePagesPrefix);
}

function validateClaims(
  claims: readonly ResourceClaim[],
  path: string,
  podClaims: ReadonlySet<string>,
): FieldCause[] {
  const seen = new Set<string>();
  return claims.flatMap(({ name = "", request = "" }, index) => {
    const at = `${path}[${index}]`;
    if (name === "") return [required(at)];
    const causes: FieldCause[] = [];
    if (request !== "") {
      for (const problem of checkLabelName(request)) {
        causes.push(invalid(`${at}.request`, request, problem));
      }
    }
    const key = request === "" ? name : `${name}/${request}`;
    const overlaps = [...seen].some((each) => each.split("/")[0] === name);
    if (seen.has(name) || seen.has(key) || (request === "" && overlaps)) {
      causes.push(duplicate(at, key));
    }
    seen.add(key);
    if (podClaims.has(name)) return causes;
    const detail = `must be one of the names in pod.spec.resourceClaims`;
    return [
      ...causes,
      notFound(at, name, podClaims.size === 0 ? `${detail} which is empty` : detail),
    ];
  });
}

/** Amounts by resource; names without a prefix must be in `standard`, if that is given. */
export function validateAmounts(
  amounts: Readonly<Record<string, string>>,
  path: string,
  standard: ReadonlySet<string> | undefined,
): FieldCause[] {
  return Object.entries(amounts).flatMap(([name, text]) => {
    const at = `${path}[${name}]`;
    const causes =
      standard === undefined
        ? wrong(at, name, checkQualifiedName(name))
        : validateResourceName(name, at);
    const known = name.includes("/") || name.startsWith(hugePagesPrefix);
    if (!known && standard?.has(name) === false) {
      causes.push(invalid(at, name, "must be a standard resource for containers"));
    }
    const quantity = parseQuantity(text);
    if (quantity === undefined) return [...causes, invalid(at, text, quantityMessage)];
    if (quantity.nanos < 0n) {
      causes.push(invalid(at, text, "must be greater than or equal to 0"));
    } else if (
      name.includes("/") &&
      !fractionalResources.has(name) &&
      quantity.nanos % 1_000_000_000n !== 0n
    ) {
      causes.push(invalid(at, text, "must be an integer"));
    }
    return causes;
  });
}

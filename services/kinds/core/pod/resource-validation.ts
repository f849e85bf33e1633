/** Amounts of resources (upstream `validation.ValidateResourceRequirements`). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type { ResourceRequirements } from "../../../../proto/gen/core.ts";
import { invalid } from "../../machinery/causes.ts";
import { checkQualifiedName } from "../../machinery/names.ts";
import { compareQuantities, parseQuantity, quantityMessage } from "../../machinery/quantity.ts";

const fractionalResources = new Set(["cpu"]);
export const containerResources = new Set(["cpu", "memory", "ephemeral-storage"]);

export function validateResources(
  resources: ResourceRequirements | undefined,
  path: string,
): FieldCause[] {
  const { limits = {}, requests = {} } = resources ?? {};
  const causes = [
    ...validateAmounts(limits, `${path}.limits`, containerResources),
    ...validateAmounts(requests, `${path}.requests`, containerResources),
  ];
  for (const [name, text] of Object.entries(requests)) {
    const request = parseQuantity(text);
    const limit = Object.hasOwn(limits, name) ? parseQuantity(limits[name] ?? "") : undefined;
    if (request === undefined || limit === undefined) continue;
    const extended = !containerResources.has(name) && !name.startsWith("hugepages-");
    if (extended && compareQuantities(request, limit) !== 0) {
      const detail = `must be equal to ${name} limit of ${limits[name]}`;
      causes.push(invalid(`${path}.requests`, text, detail));
    } else if (compareQuantities(request, limit) > 0) {
      const detail = `must be less than or equal to ${name} limit of ${limits[name]}`;
      causes.push(invalid(`${path}.requests`, text, detail));
    }
  }
  return causes;
}

/** Amounts by resource; names without a prefix must be in `standard`, if that is given. */
export function validateAmounts(
  amounts: Readonly<Record<string, string>>,
  path: string,
  standard: ReadonlySet<string> | undefined,
): FieldCause[] {
  return Object.entries(amounts).flatMap(([name, text]) => {
    const at = `${path}[${name}]`;
    const causes = checkQualifiedName(name).map((problem) => invalid(at, name, problem));
    if (
      causes.length === 0 &&
      !name.includes("/") &&
      standard?.has(name) === false &&
      !name.startsWith("hugepages-")
    ) {
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

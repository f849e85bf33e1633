/** What the status of a quota is to say (upstream `pkg/controller/resourcequota`). Pure. */
import type { Pod, ResourceQuota, ResourceQuotaStatus } from "../../../proto/gen/core.ts";
import { compareQuantities, isFinished, parseQuantity, quotaUsage } from "../../kinds/facts.ts";
import type { CountedObject, CountedResource } from "../../kinds/mod.ts";
import { canonical } from "../canonical.ts";

type Amounts = Readonly<Record<string, string>>;

/**
 * Undefined: it says so already. Names whose objects are not known keep the amount that was found
 * last.
 */
export function statusOfQuota(
  quota: ResourceQuota,
  objectsOf: (resource: CountedResource) => Iterable<CountedObject> | undefined,
): ResourceQuotaStatus | undefined {
  const hard = quota.spec?.hard ?? {};
  const before = quota.status?.used ?? {};
  const counted = quotaUsage(quota, objectsOf);
  const used: Record<string, string> = {};
  for (const name of Object.keys(hard)) {
    const amount = counted[name] ?? before[name];
    if (amount !== undefined) used[name] = amount;
  }
  if (sameAmounts(hard, quota.status?.hard ?? {}) && sameAmounts(used, before)) return undefined;
  return { hard: { ...hard }, used };
}

/** By value: 1000m is 1. */
function sameAmounts(one: Amounts, other: Amounts): boolean {
  const names = Object.keys(one);
  if (names.length !== Object.keys(other).length) return false;
  return names.every((name) => {
    const [a, b] = [parseQuantity(one[name] ?? ""), parseQuantity(other[name] ?? "")];
    return a !== undefined && b !== undefined && compareQuantities(a, b) === 0;
  });
}

/** Whether an update of a pod can change what it uses, so that most updates cause no recount. */
export function changesUsage(previous: Pod, next: Pod): boolean {
  if (isFinished(previous) !== isFinished(next)) return true;
  return canonical(chargedParts(previous)) !== canonical(chargedParts(next));
}

function chargedParts({ spec = {} }: Pod) {
  const { containers = [], initContainers = [], activeDeadlineSeconds, resources } = spec;
  const amounts = [...containers, ...initContainers].map((each) => each.resources);
  return { amounts, resources, activeDeadlineSeconds };
}

/** What the status of a quota is to say (upstream `pkg/controller/resourcequota`). Pure. */
import type { Pod, ResourceQuota, ResourceQuotaStatus } from "../../../proto/gen/core.ts";
import {
  compareQuantities,
  freeOfCharge,
  isFinished,
  parseQuantity,
  quotaUsage,
} from "../../kinds/facts.ts";
import type { ObjectsOf } from "../../kinds/mod.ts";
import { canonical } from "../canonical.ts";

type Amounts = Readonly<Record<string, string>>;

/**
 * Undefined: it says so already. Names whose objects are not known keep the amount that was found
 * last.
 */
export function statusOfQuota(
  quota: ResourceQuota,
  objectsOf: ObjectsOf,
  nowMillis: number,
): ResourceQuotaStatus | undefined {
  const hard = quota.spec?.hard ?? {};
  const before = quota.status?.used ?? {};
  const counted = quotaUsage(quota, objectsOf, nowMillis);
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

/** Milliseconds until the next of the pods is free of charge; undefined: none will be by itself. */
export function millisToFree(pods: readonly Pod[], nowMillis: number): number | undefined {
  const times = pods.filter((pod) => !isFinished(pod)).map((pod) => freeOfCharge(pod) ?? 0);
  const ahead = times.filter((time) => time >= nowMillis);
  return ahead.length === 0 ? undefined : Math.min(...ahead) - nowMillis + 1;
}

/** Whether an update of a pod can change what it uses, so that most updates cause no recount. */
export function changesUsage(previous: Pod, next: Pod): boolean {
  if (isFinished(previous) !== isFinished(next)) return true;
  return canonical(chargedParts(previous)) !== canonical(chargedParts(next));
}

function chargedParts(pod: Pod) {
  const { spec = {} } = pod;
  const { containers = [], initContainers = [], activeDeadlineSeconds, resources } = spec;
  const amounts = [...containers, ...initContainers].map((each) => each.resources);
  return { amounts, resources, activeDeadlineSeconds, free: freeOfCharge(pod) };
}

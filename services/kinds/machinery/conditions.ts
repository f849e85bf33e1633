/**
 * Conditions of an object's status (apimachinery `meta.SetStatusCondition`): one of each type, whose
 * transition time moves only when its status does.
 */
import { rfc3339Seconds } from "./time.ts";

export interface Condition {
  type?: string | undefined;
  status?: string | undefined;
  reason?: string | undefined;
  message?: string | undefined;
  lastTransitionTime?: string | undefined;
}

export function conditionOf<C extends Condition>(
  conditions: readonly C[] | undefined,
  type: string,
): C | undefined {
  return conditions?.find((each) => each.type === type);
}

/** The condition of this type has status "True". */
export function isConditionTrue(
  conditions: readonly Condition[] | undefined,
  type: string,
): boolean {
  return conditionOf(conditions, type)?.status === "True";
}

/**
 * The conditions with this one in place of an earlier one of its type, or at the end. It begins now,
 * unless the earlier one had the same status.
 */
export function withCondition<C extends Condition>(
  conditions: readonly C[] | undefined,
  condition: C,
  nowMillis: number,
): C[] {
  const known = conditionOf(conditions, condition.type ?? "");
  const since = known?.status === condition.status ? known?.lastTransitionTime : undefined;
  const lastTransitionTime = since ?? rfc3339Seconds(nowMillis);
  const next = { ...condition, lastTransitionTime };
  if (!known) return [...(conditions ?? []), next];
  return (conditions ?? []).map((each) => (each === known ? next : each));
}

export function withoutCondition<C extends Condition>(
  conditions: readonly C[] | undefined,
  type: string,
): C[] {
  return (conditions ?? []).filter((each) => each.type !== type);
}

/** The same types with the same status, reason and message, whatever their order and times. */
export function sameConditions(
  a: readonly Condition[] | undefined,
  b: readonly Condition[] | undefined,
): boolean {
  const text = (conditions: readonly Condition[] | undefined) =>
    (conditions ?? [])
      .map(({ type, status, reason = "", message = "" }) =>
        JSON.stringify([type, status, reason, message]),
      )
      .sort()
      .join();
  return text(a) === text(b);
}

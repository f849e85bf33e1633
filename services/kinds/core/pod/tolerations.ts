import type { Taint, Toleration } from "../../../../proto/gen/core.ts";

/** Whether any toleration covers the taint. */
export function tolerates(tolerations: readonly Toleration[] | undefined, taint: Taint): boolean {
  return (tolerations ?? []).some((toleration) => toleratesTaint(toleration, taint));
}

/** Upstream core/v1 `Toleration.ToleratesTaint`; an absent key, value or effect is the empty one. */
export function toleratesTaint(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  if (toleration.operator === "Exists") return true;
  if (toleration.operator && toleration.operator !== "Equal") return false;
  // Without a key only Exists has a meaning: it then covers every taint.
  return Boolean(toleration.key) && (toleration.value ?? "") === (taint.value ?? "");
}

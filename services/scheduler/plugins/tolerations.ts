import type { Taint, Toleration } from "../../../proto/gen/core.ts";

/** Whether any toleration covers the taint (core/v1 `Toleration.ToleratesTaint`). */
export function tolerates(tolerations: readonly Toleration[] | undefined, taint: Taint): boolean {
  return (tolerations ?? []).some((toleration) => toleratesTaint(toleration, taint));
}

export function toleratesTaint(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  if (toleration.operator === "Exists") return true;
  // Without a key only Exists means something: it then covers every taint.
  return Boolean(toleration.key) && (toleration.value ?? "") === (taint.value ?? "");
}

/** The limits of a pod's ephemeral storage, and whether it keeps within them. */
import type { Pod } from "../../../proto/gen/core.ts";
import { diskUseOf } from "../disk-use.ts";
import type { ContainerRuntime } from "../runtime/types.ts";
import { unitsOf } from "./resources.ts";

const resource = "ephemeral-storage";

/** Whether anything of the pod's is limited. */
export function limitsStorage({ spec = {} }: Pod): boolean {
  return (
    (spec.volumes ?? []).some((one) => one.emptyDir?.sizeLimit) ||
    (spec.containers ?? []).some((one) => one.resources?.limits?.[resource] !== undefined)
  );
}

/**
 * The text of the eviction, in upstream's words and order: volumes, the pod, its containers.
 * Undefined: everything is within its limit. `paths`: the directories of volumes, by name.
 */
export async function storageExcess(
  pod: Pod,
  paths: ReadonlyMap<string, string>,
  runtime: Pick<ContainerRuntime, "diskUse">,
): Promise<string | undefined> {
  let volumeBytes = 0;
  const limited = (pod.spec?.containers ?? []).filter(
    (one) => unitsOf(one.resources?.limits?.[resource]) > 0,
  );
  for (const { name = "", emptyDir } of pod.spec?.volumes ?? []) {
    const path = paths.get(name);
    if (emptyDir === undefined || path === undefined) continue;
    const limit = unitsOf(emptyDir.sizeLimit);
    if (limit <= 0 && limited.length === 0) continue;
    const { bytes } = await diskUseOf(path);
    if (limit > 0 && bytes > limit) {
      return `Usage of EmptyDir volume "${name}" exceeds the limit "${emptyDir.sizeLimit}". `;
    }
    // A volume in memory takes nothing of the disk.
    if (emptyDir.medium !== "Memory") volumeBytes += bytes;
  }
  const use = limited.length > 0 ? await runtime.diskUse?.(pod.metadata?.uid ?? "") : undefined;
  if (use === undefined) return undefined;
  const sum = (list: readonly number[]) => list.reduce((total, each) => total + each, 0);
  const total = volumeBytes + use.shared.bytes + sum(use.containers.map((one) => one.use.bytes));
  const podLimit = sum(limited.map((one) => unitsOf(one.resources?.limits?.[resource])));
  if (total > podLimit) {
    const text = limited.length === 1 ? limited[0]?.resources?.limits?.[resource] : podLimit;
    return `Pod ephemeral local storage usage exceeds the total limit of containers ${text}. `;
  }
  for (const { name = "", resources } of limited) {
    const own = use.containers.filter((one) => one.name === name).map((one) => one.use.bytes);
    const limit = resources?.limits?.[resource];
    if (sum(own) <= unitsOf(limit)) continue;
    return `Container ${name} exceeded its local ephemeral storage limit "${limit}". `;
  }
  return undefined;
}

/** What pods use of that which the node runs short of. */
import { join } from "node:path";
import type { Pod } from "../../../proto/gen/core.ts";
import { diskUseOf } from "../disk-use.ts";
import type { ContainerRuntime } from "../runtime/types.ts";
import type { Starved, Use } from "./ranking.ts";

/** By uid. `podsDir`: of the pods' own directories, with their volumes. */
export async function useOf(
  runtime: ContainerRuntime,
  podsDir: string,
  starved: Starved,
  pods: readonly Pod[],
): Promise<ReadonlyMap<string, Use>> {
  if (starved === "memory" || starved === "pids") {
    const field = starved === "memory" ? "memoryBytes" : "processes";
    const uses = await runtime.resourceUse();
    return new Map(
      uses.map(({ podUid, containers }) => {
        const amounts = containers.map((one) => ({ name: one.name, amount: one[field] ?? 0 }));
        return [podUid, { total: sumOf(amounts), containers: amounts }];
      }),
    );
  }
  const field = starved === "inodes" ? "entries" : "bytes";
  const uses = new Map<string, Use>();
  for (const { metadata } of pods) {
    const uid = metadata?.uid ?? "";
    const own = await diskUseOf(join(podsDir, uid));
    const { containers, shared } = (await runtime.diskUse?.(uid)) ?? nothing;
    const amounts = containers.map(({ name, use }) => ({ name, amount: use[field] }));
    uses.set(uid, { total: own[field] + shared[field] + sumOf(amounts), containers: amounts });
  }
  return uses;
}

const nothing = { containers: [], shared: { bytes: 0, entries: 0 } } as const;

function sumOf(amounts: readonly { readonly amount: number }[]): number {
  return amounts.reduce((sum, { amount }) => sum + amount, 0);
}

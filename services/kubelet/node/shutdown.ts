/**
 * The order in which a node's pods end with it (KEP-2000, KEP-2712): groups by priority, the least
 * important first, each with a time of its own.
 */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Log } from "../../../ha/runtime/types.ts";
import type { Pod } from "../../../proto/gen/core.ts";
import { parseDuration } from "../../client/mod.ts";

/** Pods of this priority and more, up to the next group's. */
export interface ShutdownGroup {
  readonly priority: number;
  readonly graceMillis: number;
}

const systemPriority = 2_000_000_000;

/** Critical pods after all others, where they have a time of their own. Throws StatusError. */
export function groupsOf(totalMillis: number, criticalMillis: number): readonly ShutdownGroup[] {
  if (criticalMillis > totalMillis) {
    throw new StatusError(
      Code.invalidArgument,
      `--shutdown-grace-period-critical-pods is ${criticalMillis} ms, more than ` +
        `--shutdown-grace-period, ${totalMillis} ms, of which it is a part`,
    );
  }
  const all = { priority: Number.NEGATIVE_INFINITY, graceMillis: totalMillis };
  if (criticalMillis <= 0) return [all];
  return [
    { priority: Number.NEGATIVE_INFINITY, graceMillis: totalMillis - criticalMillis },
    { priority: systemPriority, graceMillis: criticalMillis },
  ];
}

/** `PRIORITY=DURATION,…`. Throws StatusError naming the flag. */
export function parseGroups(value: string, flag: string): readonly ShutdownGroup[] {
  const groups = value
    .split(",")
    .filter((part) => part !== "")
    .map((part) => {
      const [number = "", duration = ""] = part.split("=");
      const priority = Number(number);
      if (!/^-?\d{1,10}$/.test(number)) {
        throw new StatusError(
          Code.invalidArgument,
          `${flag}: "${part}" is not PRIORITY=DURATION with a whole number as its priority`,
        );
      }
      return { priority, graceMillis: parseDuration(duration, flag) };
    });
  return groups.toSorted((a, b) => a.priority - b.priority);
}

interface EndingPod {
  readonly pod: Pod;
  /** Ends its containers within the time; resolves when they have ended. */
  shutdown(graceMillis: number): Promise<void>;
}

/** Group after group; a pod below every group belongs to the first. */
export async function endInOrder(
  pods: readonly EndingPod[],
  groups: readonly ShutdownGroup[],
  log: Log,
): Promise<void> {
  for (const [index, { priority, graceMillis }] of groups.entries()) {
    const next = groups[index + 1]?.priority ?? Number.POSITIVE_INFINITY;
    const members = pods.filter(({ pod }) => {
      const own = pod.spec?.priority ?? 0;
      return own < next && (own >= priority || index === 0);
    });
    if (members.length === 0) continue;
    log.info("pods end with the node", { pods: members.length, priority, graceMillis });
    await Promise.all(
      members.map(({ pod, shutdown }) => {
        const { terminationGracePeriodSeconds: own = 30 } = pod.spec ?? {};
        return shutdown(Math.min(own * 1000, graceMillis));
      }),
    );
  }
}

/** Priority classes, by which a pod gets its priority: those that every cluster has. */

/** Upstream `scheduling.SystemPriorityClasses`. */
const systemClasses: ReadonlyMap<string, number> = new Map([
  ["system-cluster-critical", 2_000_000_000],
  ["system-node-critical", 2_000_001_000],
]);

/** Of pods without a class, as long as no class is the default. */
const defaultPriority = 0;

/** The priority that a class gives; without a name, that of pods without one. */
export function priorityOf(className: string | undefined): number | undefined {
  return className ? systemClasses.get(className) : defaultPriority;
}

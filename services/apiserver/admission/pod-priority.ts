import type { Pod } from "../../../proto/gen/core.ts";
import type { PriorityClass } from "../../../proto/gen/scheduling.ts";
import { forbidden } from "../errors.ts";
import type { AdmissionPlugin, AdmissionRequest } from "./chain.ts";

/** Where the priority classes are looked up. */
export interface PriorityClasses {
  /** As the watch cache has it or, failing that, the store. */
  get(name: string): Promise<PriorityClass | undefined>;
  /** All that the watch cache has. */
  list(): Iterable<PriorityClass>;
}

/**
 * The priority of a pod is that of its class (upstream's Priority): a new pod gets it, together with
 * the class's preemption policy, and may state no other one; an update that leaves them out keeps
 * them.
 */
export function podPriority(classes: PriorityClasses): AdmissionPlugin {
  return {
    name: "pod-priority",
    resources: ["pods"],
    operations: ["create", "update"],
    async mutate(request) {
      const { spec } = (request.document ?? {}) as Pod;
      if (spec === undefined || request.subresource !== "") return;
      if (request.stored === undefined) return give(classes, request, spec);
      const before = (request.stored as Pod).spec;
      if (before?.priority !== undefined) spec.priority ??= before.priority;
      if (before?.preemptionPolicy) spec.preemptionPolicy ??= before.preemptionPolicy;
    },
  };
}

async function give(
  classes: PriorityClasses,
  request: AdmissionRequest,
  spec: NonNullable<Pod["spec"]>,
): Promise<void> {
  const refused = (why: string) => forbidden(request.resource, request.name, why);
  const found = spec.priorityClassName
    ? await classes.get(spec.priorityClassName)
    : (defaultOf(classes.list()) ?? {});
  if (found === undefined) {
    throw refused(`no PriorityClass with name ${spec.priorityClassName} was found`);
  }
  const { metadata, value: priority = 0, preemptionPolicy = "PreemptLowerPriority" } = found;
  if (spec.priority !== undefined && spec.priority !== priority) {
    throw refused(
      `the integer value of priority (${spec.priority}) must not be provided in pod spec; ` +
        `priority admission controller computed ${priority} from the given PriorityClass name`,
    );
  }
  if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== preemptionPolicy) {
    throw refused(
      `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in ` +
        `pod spec; priority admission controller computed ${preemptionPolicy} from the given ` +
        "PriorityClass name",
    );
  }
  if (metadata?.name) spec.priorityClassName = metadata.name;
  spec.priority = priority;
  spec.preemptionPolicy = preemptionPolicy;
}

/** Two may have become the default at once; the one of the lowest value then counts (upstream). */
function defaultOf(classes: Iterable<PriorityClass>): PriorityClass | undefined {
  let found: PriorityClass | undefined;
  for (const one of classes) {
    if (!one.globalDefault) continue;
    if (found === undefined || (one.value ?? 0) < (found.value ?? 0)) found = one;
  }
  return found;
}

/** Only one class is the default, and those of the system stay. `system`: their names. */
export function priorityClasses(
  classes: PriorityClasses,
  system: ReadonlySet<string>,
): AdmissionPlugin {
  return {
    name: "priority-classes",
    resources: ["priorityclasses.scheduling.k8s.io"],
    validate({ resource, operation, name, document }) {
      if (operation === "delete" && system.has(name)) {
        const why = "this is a system priority class and cannot be deleted";
        throw forbidden(resource, name, why);
      }
      if ((document as PriorityClass | undefined)?.globalDefault !== true) return;
      const first = defaultOf(classes.list())?.metadata?.name;
      if (first === undefined || (operation === "update" && first === name)) return;
      const why = `PriorityClass ${first} is already marked as default. Only one default can exist`;
      throw forbidden(resource, name, why);
    },
  };
}

import type { Pod } from "../../../proto/gen/core.ts";
import { priorityOf } from "../../kinds/mod.ts";
import { forbidden } from "../errors.ts";
import type { AdmissionPlugin } from "./chain.ts";

/**
 * The priority of a pod is that of its class (upstream's Priority): a new pod gets it, and may state
 * no other one; an update that leaves it out keeps it.
 */
export const podPriority: AdmissionPlugin = {
  name: "pod-priority",
  resources: ["pods"],
  operations: ["create", "update"],
  mutate({ resource, name, subresource, document, stored }) {
    const { spec } = (document ?? {}) as Pod;
    if (spec === undefined || subresource !== "") return;
    if (stored !== undefined) {
      const before = (stored as Pod).spec;
      if (before?.priority !== undefined) spec.priority ??= before.priority;
      if (before?.preemptionPolicy) spec.preemptionPolicy ??= before.preemptionPolicy;
      return;
    }
    const priority = priorityOf(spec.priorityClassName);
    if (priority === undefined) {
      const why = `no PriorityClass with name ${spec.priorityClassName} was found`;
      throw forbidden(resource, name, why);
    }
    if (spec.priority !== undefined && spec.priority !== priority) {
      throw forbidden(
        resource,
        name,
        `the integer value of priority (${spec.priority}) must not be provided in pod spec; ` +
          `priority admission controller computed ${priority} from the given PriorityClass name`,
      );
    }
    spec.priority = priority;
  },
};

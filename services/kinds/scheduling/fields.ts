/** What becomes of the fields of a PriorityClass. */
import { behaves, type SupportTable } from "../machinery/field-support.ts";

export const schedulingFields: SupportTable = {
  "trireme.scheduling.v1.PriorityClass": {
    ...behaves("the apiserver: type, name and metadata of an object", "apiVersion kind metadata"),
    ...behaves("admission gives it to the pods of the class", "globalDefault preemptionPolicy"),
    ...behaves("the scheduler, by the priority of the pods", "value"),
    ...behaves("information for clients", "description"),
  },
};

/** What becomes of the fields of a PriorityClass. */
import { behaves, type SupportTable, warned } from "../machinery/field-support.ts";

export const schedulingFields: SupportTable = {
  "trireme.scheduling.v1.PriorityClass": {
    ...behaves("the apiserver: type, name and metadata of an object", "apiVersion kind metadata"),
    ...behaves("admission gives it to the pods of the class", "globalDefault preemptionPolicy"),
    ...warned(
      "value",
      "pods of a higher priority are scheduled first, but the scheduler preempts no other pods",
      (value, around) => Number(value) <= 0 || around.at(-1)?.["preemptionPolicy"] === "Never",
    ),
    ...behaves("information for clients", "description"),
  },
};

import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { Lease, LeasesService } from "../../../proto/gen/coordination.ts";
import { invalid } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { notNegative } from "../machinery/field-rules.ts";
import { parseTime } from "../machinery/time.ts";

export const lease = defineKind({
  message: "trireme.coordination.v1.Lease",
  codec: Lease,
  service: LeasesService,
  createOnUpdate: true,
  // Two candidates must never both believe that they renewed it.
  allowUnconditionalUpdate: false,

  validate(document) {
    const { spec = {} } = document as Lease;
    const causes: FieldCause[] = notNegative(spec.leaseTransitions, "spec.leaseTransitions");
    const seconds = spec.leaseDurationSeconds;
    if (seconds !== undefined && seconds <= 0) {
      causes.push(invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"));
    }
    for (const name of ["acquireTime", "renewTime"] as const) {
      const time = spec[name];
      if (time === undefined || parseTime(time) !== undefined) continue;
      causes.push(invalid(`spec.${name}`, time, "must be an RFC 3339 time"));
    }
    return causes;
  },
  columns: [
    nameColumn,
    {
      name: "Holder",
      description: "Who holds the lease.",
      value: (document) => (document as Lease).spec?.holderIdentity ?? "",
    },
    ageColumn,
  ],
});

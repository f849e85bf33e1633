/** What becomes of the fields of a Lease. */
import { behaves, type SupportTable, warned } from "../machinery/field-support.ts";

export const coordinationFields: SupportTable = {
  "trireme.coordination.v1.Lease": behaves("leader election", "apiVersion kind metadata spec"),
  "trireme.coordination.v1.LeaseSpec": {
    ...behaves("leader election", "holderIdentity leaseDurationSeconds acquireTime renewTime"),
    ...behaves("leader election", "leaseTransitions"),
    ...warned(
      "strategy preferredHolder",
      "elections are not coordinated by the apiserver, it has no effect",
    ),
  },
};

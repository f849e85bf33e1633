import {
  ResourceClaim,
  type ResourceClaimStatus,
  ResourceClaimsService,
} from "../../../proto/gen/resource.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { unchanged } from "../machinery/field-rules.ts";
import type { Document } from "../machinery/resource.ts";
import { dropDeallocated, validateStatus } from "./claim-status.ts";
import { setClaimDefaults, validateClaim } from "./device-claim.ts";

const specOf = (document: Document | undefined): NonNullable<ResourceClaim["spec"]> =>
  (document as ResourceClaim | undefined)?.spec ?? {};
const statusOf = (document: Document | undefined): ResourceClaimStatus =>
  (document as ResourceClaim | undefined)?.status ?? {};

export const resourceClaim = defineKind({
  message: "trireme.resource.v1.ResourceClaim",
  codec: ResourceClaim,
  service: ResourceClaimsService,
  countsGenerations: false,

  setDefaults: (document) => setClaimDefaults(specOf(document).devices),
  prepareForUpdate(next, stored) {
    const status = dropDeallocated(statusOf(next), statusOf(stored));
    if (status !== statusOf(next)) (next as ResourceClaim).status = status;
  },
  validate(document, stored) {
    const { devices = {} } = specOf(document);
    return validateClaim(devices, "spec.devices", specOf(stored).devices);
  },
  validateUpdate(next, stored, context) {
    if (context?.subresource !== "status") return unchanged("spec", specOf(next), specOf(stored));
    return validateStatus(next as ResourceClaim, statusOf(stored));
  },
  columns: [
    nameColumn,
    {
      name: "State",
      description: "How far the claim has come: pending, allocated, reserved, deleted.",
      value: stateOf,
    },
    ageColumn,
  ],
});

function stateOf(document: Document): string {
  const { allocation, reservedFor = [] } = statusOf(document);
  const deleted = document.metadata?.deletionTimestamp !== undefined;
  const states = deleted ? ["deleted"] : [];
  if (allocation === undefined) return deleted ? "deleted" : "pending";
  states.push("allocated");
  if (reservedFor.length > 0) states.push("reserved");
  return states.join(",");
}

import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { ServiceCIDR, ServiceCIDRsService } from "../../../proto/gen/networking.ts";
import { invalid, required } from "../machinery/causes.ts";
import { checkStrictCidr, parseCidr, sameFamily } from "../machinery/cidr.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { unchanged, wrong } from "../machinery/field-rules.ts";
import type { Document } from "../machinery/resource.ts";

const cidrsOf = (document: Document): string[] => (document as ServiceCIDR).spec?.cidrs ?? [];

export const serviceCidr = defineKind({
  message: "trireme.networking.v1.ServiceCIDR",
  codec: ServiceCIDR,
  service: ServiceCIDRsService,
  countsGenerations: false,

  validate(document) {
    const field = "spec.cidrs";
    const cidrs = cidrsOf(document);
    if (cidrs.length === 0) return [required(field, "at least one CIDR required")];
    if (cidrs.length > 2) {
      // The value that the message shows is upstream's, with its name for the field.
      return [invalid(field, { CIDRs: cidrs }, "may only hold up to 2 values")];
    }
    const [first, second] = cidrs.map(parseCidr);
    if (first !== undefined && second !== undefined && sameFamily(first, second)) {
      const detail =
        "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
      return [invalid(field, cidrs, detail)];
    }
    return cidrs.flatMap((cidr, index): FieldCause[] =>
      wrong(`${field}[${index}]`, cidr, checkStrictCidr(cidr)),
    );
  },
  validateUpdate: (next, stored) => unchanged("spec.cidrs", cidrsOf(next), cidrsOf(stored)),
  columns: [
    nameColumn,
    { name: "CIDRs", value: (document) => cidrsOf(document).join(",") || "<none>" },
    ageColumn,
  ],
});

import {
  ResourceClaimTemplate,
  ResourceClaimTemplatesService,
} from "../../../proto/gen/resource.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { unchanged } from "../machinery/field-rules.ts";
import { validateTemplateMetadata } from "../machinery/metadata.ts";
import type { Document } from "../machinery/resource.ts";
import { setClaimDefaults, validateClaim } from "./device-claim.ts";

const specOf = (document: Document | undefined): NonNullable<ResourceClaimTemplate["spec"]> =>
  (document as ResourceClaimTemplate | undefined)?.spec ?? {};

export const resourceClaimTemplate = defineKind({
  message: "trireme.resource.v1.ResourceClaimTemplate",
  codec: ResourceClaimTemplate,
  service: ResourceClaimTemplatesService,

  setDefaults: (document) => setClaimDefaults(specOf(document).spec?.devices),
  validate(document, stored) {
    const { metadata = {}, spec } = specOf(document);
    const known = specOf(stored).spec?.devices;
    return [
      ...validateTemplateMetadata(metadata, "spec.metadata"),
      ...validateClaim(spec?.devices ?? {}, "spec.spec.devices", known),
    ];
  },
  validateUpdate: (next, stored) => unchanged("spec", specOf(next), specOf(stored)),
  columns: [nameColumn, ageColumn],
});

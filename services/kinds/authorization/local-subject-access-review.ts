import {
  LocalSubjectAccessReview,
  LocalSubjectAccessReviewsService,
} from "../../../proto/gen/authorization.ts";
import { invalid } from "../machinery/causes.ts";
import { defineKind } from "../machinery/define.ts";
import { validateAttributes, validateNoMetadata, validateSubject } from "./attributes.ts";

export const localSubjectAccessReview = defineKind({
  message: "trireme.authorization.v1.LocalSubjectAccessReview",
  codec: LocalSubjectAccessReview,
  service: LocalSubjectAccessReviewsService,
  stored: false,

  validate(document) {
    const { spec = {}, metadata } = document as LocalSubjectAccessReview;
    const { resourceAttributes, nonResourceAttributes } = spec;
    const causes = [
      ...validateAttributes(spec),
      ...validateSubject(spec),
      ...validateNoMetadata(document, "namespace"),
    ];
    const named = resourceAttributes?.namespace ?? "";
    if (resourceAttributes !== undefined && named !== (metadata?.namespace ?? "")) {
      const detail = "must match metadata.namespace";
      causes.push(invalid("spec.resourceAttributes.namespace", named, detail));
    }
    if (nonResourceAttributes !== undefined) {
      const detail = "disallowed on this kind of request";
      causes.push(invalid("spec.nonResourceAttributes", nonResourceAttributes, detail));
    }
    return causes;
  },
  columns: [],
});

import {
  SelfSubjectAccessReview,
  SelfSubjectAccessReviewsService,
} from "../../../proto/gen/authorization.ts";
import { defineKind } from "../machinery/define.ts";
import { validateAttributes, validateNoMetadata } from "./attributes.ts";

export const selfSubjectAccessReview = defineKind({
  message: "trireme.authorization.v1.SelfSubjectAccessReview",
  codec: SelfSubjectAccessReview,
  service: SelfSubjectAccessReviewsService,
  stored: false,

  validate(document) {
    const { spec = {} } = document as SelfSubjectAccessReview;
    return [...validateAttributes(spec), ...validateNoMetadata(document)];
  },
  columns: [],
});

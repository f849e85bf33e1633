import {
  SubjectAccessReview,
  SubjectAccessReviewsService,
} from "../../../proto/gen/authorization.ts";
import { defineKind } from "../machinery/define.ts";
import { validateAttributes, validateNoMetadata, validateSubject } from "./attributes.ts";

export const subjectAccessReview = defineKind({
  message: "trireme.authorization.v1.SubjectAccessReview",
  codec: SubjectAccessReview,
  service: SubjectAccessReviewsService,
  stored: false,

  validate(document) {
    const { spec = {} } = document as SubjectAccessReview;
    return [...validateAttributes(spec), ...validateSubject(spec), ...validateNoMetadata(document)];
  },
  columns: [],
});

import { SelfSubjectReview, SelfSubjectReviewsService } from "../../../proto/gen/authentication.ts";
import { defineKind } from "../machinery/define.ts";

export const selfSubjectReview = defineKind({
  message: "trireme.authentication.v1.SelfSubjectReview",
  codec: SelfSubjectReview,
  service: SelfSubjectReviewsService,
  stored: false,
  columns: [],
});

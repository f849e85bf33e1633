import {
  SelfSubjectRulesReview,
  SelfSubjectRulesReviewsService,
} from "../../../proto/gen/authorization.ts";
import { defineKind } from "../machinery/define.ts";

export const selfSubjectRulesReview = defineKind({
  message: "trireme.authorization.v1.SelfSubjectRulesReview",
  codec: SelfSubjectRulesReview,
  service: SelfSubjectRulesReviewsService,
  stored: false,
  columns: [],
});

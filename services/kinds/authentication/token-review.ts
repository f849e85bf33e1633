import { TokenReview, TokenReviewsService } from "../../../proto/gen/authentication.ts";
import { defineKind } from "../machinery/define.ts";

export const tokenReview = defineKind({
  message: "trireme.authentication.v1.TokenReview",
  codec: TokenReview,
  service: TokenReviewsService,
  stored: false,
  columns: [],
});

/** The resources that are computed for each request: one row per kind, one file each. */
import { selfSubjectReview } from "./self-subject-review.ts";
import { tokenReview } from "./token-review.ts";
import type { VirtualKinds } from "./types.ts";

export const virtualKinds: VirtualKinds = {
  "selfsubjectreviews.authentication.k8s.io": selfSubjectReview,
  "tokenreviews.authentication.k8s.io": tokenReview,
};

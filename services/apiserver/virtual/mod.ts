/** The resources that are computed for each request: one row per kind, one file each. */

import type { VirtualKinds } from "../verbs/virtual-kind.ts";
import { selfSubjectReview } from "./self-subject-review.ts";
import { tokenReview } from "./token-review.ts";

export const virtualKinds: VirtualKinds = {
  "selfsubjectreviews.authentication.k8s.io": selfSubjectReview,
  "tokenreviews.authentication.k8s.io": tokenReview,
};

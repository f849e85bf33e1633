/** The resources that are computed for each request: one row per kind, one file each. */
import type { VirtualKinds } from "../verbs/virtual-kind.ts";
import { apiService } from "./api-service.ts";
import { binding } from "./binding.ts";
import { componentStatus } from "./component-status.ts";
import { nodeMetrics } from "./node-metrics.ts";
import { podMetrics } from "./pod-metrics.ts";
import { selfSubjectAccessReview } from "./self-subject-access-review.ts";
import { selfSubjectReview } from "./self-subject-review.ts";
import { selfSubjectRulesReview } from "./self-subject-rules-review.ts";
import { subjectAccessReview } from "./subject-access-review.ts";
import { tokenReview } from "./token-review.ts";

export const virtualKinds: VirtualKinds = {
  "apiservices.apiregistration.k8s.io": apiService,
  bindings: binding,
  componentstatuses: componentStatus,
  "localsubjectaccessreviews.authorization.k8s.io": subjectAccessReview,
  "nodes.metrics.k8s.io": nodeMetrics,
  "pods.metrics.k8s.io": podMetrics,
  "selfsubjectaccessreviews.authorization.k8s.io": selfSubjectAccessReview,
  "selfsubjectreviews.authentication.k8s.io": selfSubjectReview,
  "selfsubjectrulesreviews.authorization.k8s.io": selfSubjectRulesReview,
  "subjectaccessreviews.authorization.k8s.io": subjectAccessReview,
  "tokenreviews.authentication.k8s.io": tokenReview,
};

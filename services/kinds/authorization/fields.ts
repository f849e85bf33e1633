/** What becomes of the fields of reviews of rights. */
import { behaves, type SupportTable, warned } from "../machinery/field-support.ts";

const answered = "the apiserver answers with it";
const asked = "the authorizers decide by it";
const review = {
  ...behaves(asked, "apiVersion kind metadata spec"),
  ...behaves(answered, "status"),
};

export const authorizationFields: SupportTable = {
  "trireme.authorization.v1.SubjectAccessReview": review,
  "trireme.authorization.v1.SelfSubjectAccessReview": review,
  "trireme.authorization.v1.LocalSubjectAccessReview": review,
  "trireme.authorization.v1.SelfSubjectRulesReview": review,
  "trireme.authorization.v1.SubjectAccessReviewSpec": behaves(
    asked,
    "resourceAttributes nonResourceAttributes user groups extra uid",
  ),
  "trireme.authorization.v1.SelfSubjectAccessReviewSpec": behaves(
    asked,
    "resourceAttributes nonResourceAttributes",
  ),
  "trireme.authorization.v1.ResourceAttributes": {
    ...behaves(asked, "namespace verb group version resource subresource name fieldSelector"),
    ...warned("labelSelector", "no authorizer decides by labels, it has no effect"),
  },
  "trireme.authorization.v1.FieldSelectorAttributes": behaves(asked, "rawSelector requirements"),
  "trireme.authorization.v1.FieldSelectorRequirement": behaves(asked, "key operator values"),
  "trireme.authorization.v1.NonResourceAttributes": behaves(asked, "path verb"),
  "trireme.authorization.v1.SubjectAccessReviewStatus": behaves(
    answered,
    "allowed denied reason evaluationError",
  ),
  "trireme.authorization.v1.SelfSubjectRulesReviewSpec": behaves(asked, "namespace"),
  "trireme.authorization.v1.SubjectRulesReviewStatus": behaves(
    answered,
    "resourceRules nonResourceRules incomplete evaluationError",
  ),
  "trireme.authorization.v1.ResourceRule": behaves(
    answered,
    "verbs apiGroups resources resourceNames",
  ),
  "trireme.authorization.v1.NonResourceRule": behaves(answered, "verbs nonResourceURLs"),
};

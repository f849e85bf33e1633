import type {
  SelfSubjectRulesReview,
  SubjectRulesReviewStatus,
} from "../../../proto/gen/authorization.ts";
import { nodeNameOf } from "../auth/node-authorizer.ts";
import { badRequest } from "../errors.ts";
import type { Backend } from "../verbs/backend.ts";
import type { Call } from "../verbs/call.ts";
import type { VirtualKind } from "../verbs/virtual-kind.ts";

export const selfSubjectRulesReview: VirtualKind = {
  create(backend, call, document) {
    const { namespace = "" } = (document as SelfSubjectRulesReview).spec ?? {};
    if (namespace === "") throw badRequest("no namespace on request");
    return { ...document, status: rulesOf(backend, call, namespace) };
  },
};

function rulesOf(backend: Backend, call: Call, namespace: string): SubjectRulesReviewStatus {
  const rules = backend.policy.rulesOf(call.user, namespace);
  const resourceRules = rules
    .filter(({ resources = [] }) => resources.length > 0)
    .map(({ verbs = [], apiGroups = [], resources = [], resourceNames = [] }) => {
      return { verbs, apiGroups, resources, ...(resourceNames.length > 0 && { resourceNames }) };
    });
  const nonResourceRules = rules
    .filter(({ nonResourceURLs = [] }) => nonResourceURLs.length > 0)
    .map(({ verbs = [], nonResourceURLs = [] }) => ({ verbs, nonResourceURLs }));
  const incomplete = nodeNameOf(call.user) !== undefined;
  const evaluationError = "node authorizer does not support user rule resolution";
  return {
    resourceRules,
    nonResourceRules,
    incomplete,
    ...(incomplete && { evaluationError }),
  };
}

/** What becomes of the fields of the group admissionregistration.k8s.io's kinds. */
import { behaves, type SupportTable, warned } from "../machinery/field-support.ts";

const address = "the apiserver: type, name and metadata of an object";
const validation = "validation";
const admission = "admission by webhooks";
const status = "information that its owner writes and clients show";
const notJudged = "this apiserver evaluates no admission policies, it has no effect";

const webhook =
  "name clientConfig rules failurePolicy matchPolicy namespaceSelector objectSelector " +
  "sideEffects timeoutSeconds admissionReviewVersions matchConditions";
const rule = "operations apiGroups apiVersions resources scope";

const messages: SupportTable = {
  MutatingWebhookConfiguration: {
    ...behaves(address, "apiVersion kind metadata"),
    ...behaves(admission, "webhooks"),
  },
  ValidatingWebhookConfiguration: {
    ...behaves(address, "apiVersion kind metadata"),
    ...behaves(admission, "webhooks"),
  },
  MutatingWebhook: behaves(admission, `${webhook} reinvocationPolicy`),
  ValidatingWebhook: behaves(admission, webhook),
  WebhookClientConfig: behaves(admission, "url service caBundle"),
  ServiceReference: behaves(admission, "namespace name path port"),
  RuleWithOperations: behaves(admission, rule),
  MatchCondition: behaves(admission, "name expression"),

  ValidatingAdmissionPolicy: {
    ...behaves(address, "apiVersion metadata"),
    ...warned("kind", notJudged),
    ...behaves(validation, "spec status"),
  },
  ValidatingAdmissionPolicySpec: behaves(
    validation,
    "paramKind matchConstraints validations failurePolicy auditAnnotations matchConditions " +
      "variables",
  ),
  ParamKind: behaves(validation, "apiVersion kind"),
  MatchResources: behaves(
    validation,
    "namespaceSelector objectSelector resourceRules excludeResourceRules matchPolicy",
  ),
  NamedRuleWithOperations: behaves(validation, `resourceNames ${rule}`),
  Validation: behaves(validation, "expression message reason messageExpression"),
  AuditAnnotation: behaves(validation, "key valueExpression"),
  Variable: behaves(validation, "name expression"),
  ValidatingAdmissionPolicyStatus: behaves(status, "observedGeneration typeChecking conditions"),
  TypeChecking: behaves(status, "expressionWarnings"),
  ExpressionWarning: behaves(status, "fieldRef warning"),

  ValidatingAdmissionPolicyBinding: {
    ...behaves(address, "apiVersion metadata"),
    ...warned("kind", notJudged),
    ...behaves(validation, "spec"),
  },
  ValidatingAdmissionPolicyBindingSpec: behaves(
    validation,
    "policyName paramRef matchResources validationActions",
  ),
  ParamRef: behaves(validation, "name namespace selector parameterNotFoundAction"),
};

export const admissionRegistrationFields: SupportTable = Object.fromEntries(
  Object.entries(messages).map(([name, support]) => [
    `trireme.admissionregistration.v1.${name}`,
    support,
  ]),
);

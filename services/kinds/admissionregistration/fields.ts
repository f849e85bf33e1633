/** What becomes of the fields of the group admissionregistration.k8s.io's kinds. */
import { behaves, type SupportTable } from "../machinery/field-support.ts";

const address = "the apiserver: type, name and metadata of an object";
const admission = "admission by webhooks";
const status = "information that its owner writes and clients show";
const policies = "admission by policies";

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
    ...behaves(address, "apiVersion kind metadata"),
    ...behaves(policies, "spec status"),
  },
  ValidatingAdmissionPolicySpec: behaves(
    policies,
    "paramKind matchConstraints validations failurePolicy auditAnnotations matchConditions " +
      "variables",
  ),
  ParamKind: behaves(policies, "apiVersion kind"),
  MatchResources: behaves(
    policies,
    "namespaceSelector objectSelector resourceRules excludeResourceRules matchPolicy",
  ),
  NamedRuleWithOperations: behaves(policies, `resourceNames ${rule}`),
  Validation: behaves(policies, "expression message reason messageExpression"),
  AuditAnnotation: behaves(policies, "key valueExpression"),
  Variable: behaves(policies, "name expression"),
  ValidatingAdmissionPolicyStatus: behaves(status, "observedGeneration typeChecking conditions"),
  TypeChecking: behaves(status, "expressionWarnings"),
  ExpressionWarning: behaves(status, "fieldRef warning"),

  ValidatingAdmissionPolicyBinding: {
    ...behaves(address, "apiVersion kind metadata"),
    ...behaves(policies, "spec"),
  },
  ValidatingAdmissionPolicyBindingSpec: behaves(
    policies,
    "policyName paramRef matchResources validationActions",
  ),
  ParamRef: behaves(policies, "name namespace selector parameterNotFoundAction"),
};

export const admissionRegistrationFields: SupportTable = Object.fromEntries(
  Object.entries(messages).map(([name, support]) => [
    `trireme.admissionregistration.v1.${name}`,
    support,
  ]),
);

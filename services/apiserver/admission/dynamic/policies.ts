/** Upstream's ValidatingAdmissionPolicy. */
import { codeOfReason } from "../../../../ha/rpc/error-table.ts";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import type {
  ValidatingAdmissionPolicyBindingSpec,
  ValidatingAdmissionPolicySpec,
} from "../../../../proto/gen/admissionregistration.ts";
import { plainValue } from "../../../kinds/machinery/cel/types.ts";
import { type Document, matchesLabels, type Resource, selectorOf } from "../../../kinds/mod.ts";
import type { Authorizer } from "../../auth/authorize.ts";
import { forbidden } from "../../errors.ts";
import type { AdmissionPlugin, AdmissionRequest } from "../chain.ts";
import { compiledPolicy } from "./compiled-policy.ts";
import { Evaluation } from "./evaluation.ts";
import { isExempt, type MatchContext, matchedAs } from "./matching.ts";
import { type Finding, runPolicy } from "./policy-run.ts";
import { converted, isAboutObject, reviewRequest } from "./review.ts";

export interface PolicyContext extends MatchContext {
  readonly authorizers: readonly Authorizer[];
  policy(name: string): Promise<Document | undefined>;
  /** In the order of their names, as the watch cache has them. */
  bindings(): Iterable<Document>;
  namespace(name: string): Promise<Document | undefined>;
  /** One object, or those of a namespace ("": of all). */
  param(resource: Resource, namespace: string, name: string): Promise<Document | undefined>;
  params(resource: Resource, namespace: string): Promise<readonly Document[]>;
}

/** What one binding of one policy says. */
interface Judgement {
  readonly policy: string;
  readonly binding: string;
  readonly actions: readonly string[];
  readonly findings: readonly Finding[];
}

/** Judges requests by the expressions that the cluster's users have bound to them. */
export function validatingPolicies(context: PolicyContext): AdmissionPlugin {
  return {
    name: "validating-policies",
    dynamic: true,
    async validate(request) {
      if (isExempt(request.resource)) return;
      let first: { readonly judgement: Judgement; readonly finding: Finding } | undefined;
      for (const binding of context.bindings()) {
        const judgement = await judge(binding, request, context);
        if (judgement === undefined) continue;
        for (const finding of judgement.findings) {
          tell(judgement, finding, request);
          if (judgement.actions.includes("Deny")) first ??= { judgement, finding };
        }
        audit(judgement, request);
      }
      if (first !== undefined) throw refusal(first.judgement, first.finding, request);
    },
  };
}

async function judge(
  binding: Document,
  request: AdmissionRequest,
  context: PolicyContext,
): Promise<Judgement | undefined> {
  const bound = (binding["spec"] ?? {}) as ValidatingAdmissionPolicyBindingSpec;
  const policy = await context.policy(bound.policyName ?? "");
  if (policy === undefined) return undefined;
  const spec = (policy["spec"] ?? {}) as ValidatingAdmissionPolicySpec;
  const resource = await matchedAs(request, spec.matchConstraints ?? {}, context);
  if (resource === undefined) return undefined;
  if (bound.matchResources !== undefined && !(await matchesBinding(request, bound, context))) {
    return undefined;
  }
  const [name, by] = [policy.metadata?.name ?? "", binding.metadata?.name ?? ""];
  const actions = bound.validationActions ?? [];
  const findings: Finding[] = [];
  const judgement = { policy: name, binding: by, actions, findings };
  const strict = spec.failurePolicy !== "Ignore";
  const fail = (message: string) => {
    if (strict) findings.push({ message, reason: undefined, index: undefined });
    return judgement;
  };
  const compiled = compiledPolicy(policy);
  if ("problem" in compiled) return fail(`failed to configure policy: ${compiled.problem}`);
  const evaluationOf = await evaluations(request, resource, context);
  const found = await paramsFor(spec, bound, request, context);
  if (typeof found === "string") return fail(`failed to configure binding: ${found}`);
  for (const params of found) {
    const result = runPolicy(compiled, spec, evaluationOf(), params);
    findings.push(...result.findings);
    for (const [key, value] of result.annotations) request.annotate?.(`${name}/${key}`, value);
  }
  return judgement;
}

/** A binding without rules is about whatever its policy is about. */
async function matchesBinding(
  request: AdmissionRequest,
  { matchResources = {} }: ValidatingAdmissionPolicyBindingSpec,
  context: PolicyContext,
): Promise<boolean> {
  const { resourceRules = [] } = matchResources;
  const every = { operations: ["*"], apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"] };
  const rules = resourceRules.length > 0 ? resourceRules : [every];
  return (
    (await matchedAs(request, { ...matchResources, resourceRules: rules }, context)) !== undefined
  );
}

/** Each parameter object is judged with a budget of its own. */
async function evaluations(
  request: AdmissionRequest,
  resource: Resource,
  context: PolicyContext,
): Promise<() => Evaluation> {
  const shown = async (document: Document | undefined) =>
    isAboutObject(request) ? converted(document, request.resource, resource) : document;
  const [object, oldObject] = [await shown(request.document), await shown(request.stored)];
  const isNamespace = request.resource.group === "" && request.resource.plural === "namespaces";
  const namespace =
    request.namespace === "" || isNamespace
      ? undefined
      : await context.namespace(request.namespace);
  const review = reviewRequest(request, resource, "");
  const namespaceObject = plainValue(namespace);
  return () =>
    new Evaluation(request, review, { object, oldObject }, context.authorizers, {
      namespaceObject,
    });
}

/** The parameter objects; a text: why there are none although there must be. */
async function paramsFor(
  { paramKind }: ValidatingAdmissionPolicySpec,
  { paramRef }: ValidatingAdmissionPolicyBindingSpec,
  { namespace }: AdmissionRequest,
  context: PolicyContext,
): Promise<readonly (Document | undefined)[] | string> {
  if (paramKind === undefined || paramRef === undefined) return [undefined];
  const { apiVersion = "", kind = "" } = paramKind;
  const resource = context.registry.byKind(apiVersion, kind);
  if (resource === undefined) {
    return `failed to find resource referenced by paramKind: '${apiVersion}, Kind=${kind}'`;
  }
  const within = paramRef.namespace || namespace;
  if (!resource.namespaced && paramRef.namespace) {
    return "paramRef.namespace must not be provided for a cluster-scoped `paramKind`";
  }
  if (resource.namespaced && within === "") {
    return "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
  }
  const place = resource.namespaced ? within : "";
  const found: Document[] = [];
  if (paramRef.name) {
    const one = await context.param(resource, place, paramRef.name);
    if (one !== undefined) found.push(one);
  } else {
    const selector = selectorOf(paramRef.selector ?? {});
    for (const each of await context.params(resource, place)) {
      if (matchesLabels(selector, each.metadata?.labels)) found.push(each);
    }
  }
  if (found.length > 0 || paramRef.parameterNotFoundAction === "Allow") return found;
  return "no params found for policy binding with `Deny` parameterNotFoundAction";
}

function tell(
  { policy, binding, actions }: Judgement,
  { message }: Finding,
  request: AdmissionRequest,
): void {
  if (!actions.includes("Warn")) return;
  const text =
    `Validation failed for ValidatingAdmissionPolicy '${policy}' with binding '${binding}': ` +
    message;
  if (!request.warnings.includes(text)) request.warnings.push(text);
}

function audit(judgement: Judgement, request: AdmissionRequest): void {
  const { policy, binding, actions, findings } = judgement;
  if (!actions.includes("Audit") || findings.length === 0) return;
  const failures = findings.map(({ message, index }) => ({
    message,
    policy,
    binding,
    ...(index !== undefined && { expressionIndex: index }),
    validationActions: actions,
  }));
  request.annotate?.(
    "validation.policy.admission.k8s.io/validation_failure",
    JSON.stringify(failures),
  );
}

function refusal(
  { policy, binding }: Judgement,
  { message, reason = "Invalid" }: Finding,
  { resource, name }: AdmissionRequest,
): StatusError {
  const text = `ValidatingAdmissionPolicy '${policy}' with binding '${binding}' denied request: ${message}`;
  const error = forbidden(resource, name, text);
  return new StatusError(codeOfReason(reason) ?? Code.permissionDenied, error.message, {
    ...error.detail,
    reason,
    ...(reason === "Invalid" && { httpCode: 422 }),
    causes: [{ reason: "", message: text, field: "" }],
  });
}

/** Which requests webhooks and policies are about, as both kinds of objects say it. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type {
  MatchCondition,
  MatchResources,
  NamedRuleWithOperations,
  RuleWithOperations,
} from "../../../proto/gen/admissionregistration.ts";
import { oneOf } from "../core/pod/field-checks.ts";
import { duplicate, invalid, required, tooMany } from "../machinery/causes.ts";
import { type AdmissionScope, expressionProblems } from "../machinery/cel/admission.ts";
import { wrong } from "../machinery/field-rules.ts";
import { validateLabelSelector } from "../machinery/label-selector.ts";
import { checkPathSegment, checkQualifiedName } from "../machinery/names.ts";

export const failurePolicies = ["Fail", "Ignore"];
export const matchPolicies = ["Equivalent", "Exact"];
const operationNames = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const scopes = ["*", "Cluster", "Namespaced"];
const matchConditionsMax = 64;

export function setRuleDefaults(rules: readonly RuleWithOperations[] | undefined): void {
  for (const rule of rules ?? []) rule.scope ??= "*";
}

export function setMatchDefaults(match: MatchResources): void {
  match.matchPolicy ??= "Equivalent";
  match.namespaceSelector ??= {};
  match.objectSelector ??= {};
  setRuleDefaults(match.resourceRules);
  setRuleDefaults(match.excludeResourceRules);
}

export function validateRule(rule: RuleWithOperations, at: string): FieldCause[] {
  const { operations = [], scope } = rule;
  return [
    ...validateChoice(operations, `${at}.operations`, "operations"),
    ...operations.flatMap((operation, index) =>
      oneOf(operation, operationNames, `${at}.operations[${index}]`),
    ),
    ...validateChoice(rule.apiGroups ?? [], `${at}.apiGroups`, "API groups"),
    ...validateChoice(rule.apiVersions ?? [], `${at}.apiVersions`, "API versions"),
    ...(rule.apiVersions ?? []).flatMap((version, index) =>
      version === "" ? [required(`${at}.apiVersions[${index}]`)] : [],
    ),
    ...validateResourceNames(rule.resources ?? [], `${at}.resources`),
    ...oneOf(scope, scopes, `${at}.scope`),
  ];
}

function validateChoice(values: readonly string[], field: string, noun: string): FieldCause[] {
  if (values.length === 0) return [required(field)];
  if (values.length === 1 || !values.includes("*")) return [];
  return [invalid(field, values, `if '*' is present, must not specify other ${noun}`)];
}

function validateResourceNames(resources: readonly string[], field: string): FieldCause[] {
  if (resources.length === 0) return [required(field)];
  const causes: FieldCause[] = [];
  const everySubresource = new Set<string>();
  const everyResource = new Set<string>();
  let plain = false;
  for (const [index, text] of resources.entries()) {
    const at = `${field}[${index}]`;
    if (text === "") {
      causes.push(required(at));
      continue;
    }
    const slash = text.indexOf("/");
    if (slash < 0) {
      plain ||= text !== "*";
      continue;
    }
    const [resource, subresource] = [text.slice(0, slash), text.slice(slash + 1)];
    if (everySubresource.has(resource)) {
      const detail = `if '${resource}/*' is present, must not specify ${text}`;
      causes.push(invalid(at, text, detail));
    }
    if (everyResource.has(subresource)) {
      const detail = `if '*/${subresource}' is present, must not specify ${text}`;
      causes.push(invalid(at, text, detail));
    }
    if (subresource === "*") everySubresource.add(resource);
    if (resource === "*") everyResource.add(subresource);
  }
  if (resources.length > 1 && resources.includes("*/*")) {
    const detail = "if '*/*' is present, must not specify other resources";
    causes.push(invalid(field, resources, detail));
  }
  if (plain && resources.includes("*")) {
    const detail = "if '*' is present, must not specify other resources without subresources";
    causes.push(invalid(field, resources, detail));
  }
  return causes;
}

function validateNamedRule(rule: NamedRuleWithOperations, at: string): FieldCause[] {
  const { resourceNames = [] } = rule;
  const causes = resourceNames.flatMap((name, index) => {
    const field = `${at}.resourceNames[${index}]`;
    const repeated = resourceNames.indexOf(name) < index ? [duplicate(field, name)] : [];
    return [...wrong(field, name, checkPathSegment(name)), ...repeated];
  });
  return [...causes, ...validateRule(rule, at)];
}

export function validateMatch(match: MatchResources, at: string): FieldCause[] {
  const { matchPolicy, resourceRules = [], excludeResourceRules = [] } = match;
  const { namespaceSelector = {}, objectSelector = {} } = match;
  return [
    ...oneOf(matchPolicy, matchPolicies, `${at}.matchPolicy`),
    ...validateLabelSelector(namespaceSelector, `${at}.namespaceSelector`),
    ...validateLabelSelector(objectSelector, `${at}.objectSelector`),
    ...resourceRules.flatMap((rule, index) =>
      validateNamedRule(rule, `${at}.resourceRules[${index}]`),
    ),
    ...excludeResourceRules.flatMap((rule, index) =>
      validateNamedRule(rule, `${at}.excludeResourceRules[${index}]`),
    ),
  ];
}

export function validateConditions(
  conditions: readonly MatchCondition[],
  at: string,
  scope: AdmissionScope = { authorizer: true },
): FieldCause[] {
  const causes =
    conditions.length > matchConditionsMax
      ? [tooMany(at, conditions.length, matchConditionsMax)]
      : [];
  const names = new Set<string>();
  conditions.forEach(({ name = "", expression = "" }, index) => {
    const text = expression.trim();
    const path = `${at}[${index}]`;
    if (text === "") causes.push(required(`${path}.expression`));
    else
      causes.push(...wrong(`${path}.expression`, text, expressionProblems(scope, text, ["bool"])));
    if (name === "") causes.push(required(`${path}.name`));
    else causes.push(...wrong(`${path}.name`, name, checkQualifiedName(name)));
    if (name !== "" && names.has(name)) causes.push(duplicate(`${path}.name`, name));
    names.add(name);
  });
  return causes;
}

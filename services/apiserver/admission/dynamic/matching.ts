/** Which requests a webhook or a policy is about: rules and selectors. */
import type {
  MatchResources,
  NamedRuleWithOperations,
} from "../../../../proto/gen/admissionregistration.ts";
import type { LabelSelector, ObjectMeta } from "../../../../proto/gen/meta.ts";
import { matchesLabels, type Registry, type Resource, selectorOf } from "../../../kinds/mod.ts";
import type { AdmissionRequest } from "../chain.ts";
import { isEquivalent } from "./review.ts";

/** What matching needs to know of the cluster. */
export interface MatchContext {
  readonly registry: Registry;
  /** Throws NotFound when the namespace does not exist. */
  labelsOfNamespace(name: string): Promise<Readonly<Record<string, string>> | undefined>;
}

type Matcher = Pick<
  MatchResources,
  "matchPolicy" | "namespaceSelector" | "objectSelector" | "resourceRules" | "excludeResourceRules"
>;

/** Configurations of admission are not subject to it: they could not be mended otherwise. */
export function isExempt({ group }: Resource): boolean {
  return group === "admissionregistration.k8s.io";
}

/** The resource as which the request matches; undefined: it does not. */
export async function matchedAs(
  request: AdmissionRequest,
  match: Matcher,
  context: MatchContext,
): Promise<Resource | undefined> {
  const { resourceRules = [], excludeResourceRules = [] } = match;
  const candidates = candidatesOf(request, match, context.registry);
  const resource = candidates.find((each) => matchesRules(request, each, resourceRules));
  if (resource === undefined) return undefined;
  if (candidates.some((each) => matchesRules(request, each, excludeResourceRules))) {
    return undefined;
  }
  if (!matchesObject(request, match.objectSelector)) return undefined;
  return (await matchesNamespace(request, match.namespaceSelector, context)) ? resource : undefined;
}

/** The request's own resource, then the others that show the same objects. */
function candidatesOf(
  { resource }: AdmissionRequest,
  { matchPolicy }: Matcher,
  registry: Registry,
): readonly Resource[] {
  if (matchPolicy === "Exact") return [resource];
  const others = [...registry].filter((each) => each !== resource && isEquivalent(each, resource));
  return [resource, ...others];
}

function matchesRules(
  request: AdmissionRequest,
  resource: Resource,
  rules: readonly NamedRuleWithOperations[],
): boolean {
  return rules.some((rule) => matchesRule(request, resource, rule));
}

function matchesRule(
  { operation, subresource, namespace, name }: AdmissionRequest,
  { group, version, plural }: Resource,
  rule: NamedRuleWithOperations,
): boolean {
  const { operations = [], apiGroups = [], apiVersions = [], resources = [] } = rule;
  const has = (list: readonly string[], value: string) =>
    list.includes("*") || list.includes(value);
  if (!has(operations, operation.toUpperCase())) return false;
  if (!has(apiGroups, group) || !has(apiVersions, version)) return false;
  const { resourceNames = [], scope = "*" } = rule;
  if (resourceNames.length > 0 && !resourceNames.includes(name)) return false;
  if (scope !== "*" && (scope === "Namespaced") !== (namespace !== "")) return false;
  return resources.some((text) => {
    const [wanted, sub = ""] = text.split("/");
    return (wanted === "*" || wanted === plural) && (sub === "*" || sub === subresource);
  });
}

function isEmpty({ matchLabels = {}, matchExpressions = [] }: LabelSelector): boolean {
  return Object.keys(matchLabels).length === 0 && matchExpressions.length === 0;
}

/** Either state of the object may match. */
function matchesObject(
  { document, stored }: AdmissionRequest,
  selector: LabelSelector | undefined,
): boolean {
  if (selector === undefined || isEmpty(selector)) return true;
  const parsed = selectorOf(selector);
  return [document, stored].some(
    (each) => each?.metadata !== undefined && matchesLabels(parsed, each.metadata.labels),
  );
}

async function matchesNamespace(
  { resource, namespace, document, stored }: AdmissionRequest,
  selector: LabelSelector | undefined,
  context: MatchContext,
): Promise<boolean> {
  if (selector === undefined || isEmpty(selector)) return true;
  if (resource.group === "" && resource.plural === "namespaces") {
    const metadata: ObjectMeta = (document ?? stored)?.metadata ?? {};
    return matchesLabels(selectorOf(selector), metadata.labels);
  }
  if (namespace === "") return true;
  return matchesLabels(selectorOf(selector), await context.labelsOfNamespace(namespace));
}

/** How the default roles and bindings are written down, and what objects they become. */
import type { PolicyRule, RoleRef, Subject } from "../../../../../proto/gen/rbac.ts";
import type { Document } from "../../../../kinds/mod.ts";

const apiGroup = "rbac.authorization.k8s.io";

/** A default role; what it is in depends on where it stands. */
export interface RoleEntry {
  readonly name: string;
  readonly rules: readonly PolicyRule[];
  /** The label `aggregate-to-…` by which another role takes its rules. */
  readonly aggregateTo?: string;
  /** The label by which it takes the rules of others. */
  readonly aggregates?: string;
}

export interface BindingEntry {
  readonly name: string;
  readonly roleRef: RoleRef;
  readonly subjects: readonly Subject[];
}

/** Every list is words apart by spaces; the group `core` is "". Sorted, as upstream shows them. */
export function rule(verbs: string, groups: string, resources: string, names = ""): PolicyRule {
  return {
    verbs: words(verbs),
    apiGroups: words(groups)
      .map((group) => (group === "core" ? "" : group))
      .sort(),
    resources: words(resources),
    ...(names !== "" && { resourceNames: words(names) }),
  };
}

/** A rule for requests that are about no resource. */
export function paths(verbs: string, urls: string): PolicyRule {
  return { verbs: words(verbs), nonResourceURLs: words(urls) };
}

export const read = "get list watch";
export const write = "create delete deletecollection patch update";
export const recordEvents = rule("create patch update", "core events.k8s.io", "events");

function words(text: string): string[] {
  return text.split(/\s+/).sort();
}

/** E.g. `User a`, `Group b`, `ServiceAccount namespace/c`. */
export function subject(kind: Subject["kind"], name: string): Subject {
  if (kind !== "ServiceAccount") return { kind, apiGroup, name };
  const [namespace = "", account = ""] = name.split("/");
  return { kind, namespace, name: account };
}

export function binding(name: string, role: string, ...subjects: readonly Subject[]): BindingEntry {
  const [kind = "", of = ""] = role.split(" ");
  return { name, roleRef: { apiGroup, kind, name: of }, subjects };
}

function metadata(name: string, labels: Record<string, string> = {}) {
  return {
    name,
    labels: { "kubernetes.io/bootstrapping": "rbac-defaults", ...labels },
    annotations: { [autoUpdate]: "true" },
  };
}

/** While it says `true`, what is missing is put back at each start. */
export const autoUpdate = "rbac.authorization.kubernetes.io/autoupdate";

const aggregation = (target: string) => `rbac.authorization.k8s.io/aggregate-to-${target}`;

export function roleDocument(kind: "Role" | "ClusterRole", entry: RoleEntry): Document {
  const { name, rules, aggregateTo, aggregates } = entry;
  const labels = aggregateTo === undefined ? {} : { [aggregation(aggregateTo)]: "true" };
  return {
    apiVersion: `${apiGroup}/v1`,
    kind,
    metadata: metadata(name, labels),
    rules: structuredClone(rules),
    ...(aggregates !== undefined && {
      aggregationRule: {
        clusterRoleSelectors: [{ matchLabels: { [aggregation(aggregates)]: "true" } }],
      },
    }),
  };
}

export function bindingDocument(
  kind: "RoleBinding" | "ClusterRoleBinding",
  { name, roleRef, subjects }: BindingEntry,
): Document {
  return {
    apiVersion: `${apiGroup}/v1`,
    kind,
    metadata: metadata(name),
    ...(subjects.length > 0 && { subjects: structuredClone(subjects) }),
    roleRef: { ...roleRef },
  };
}

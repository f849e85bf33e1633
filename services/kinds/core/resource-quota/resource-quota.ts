import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import {
  ResourceQuota,
  type ResourceQuotaSpec,
  ResourceQuotasService,
  type ScopedResourceSelectorRequirement,
} from "../../../../proto/gen/core.ts";
import { invalid, required } from "../../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../../machinery/define.ts";
import { equalJson } from "../../machinery/json.ts";
import { canonicalise } from "../../machinery/quantity.ts";
import type { Document } from "../../machinery/resource.ts";
import {
  isQuotaResource,
  validateQuotaResourceName,
  validateResourceAmount,
} from "../resource-names.ts";

type Status = NonNullable<ResourceQuota["status"]>;

const specOf = (document: Document): ResourceQuotaSpec => (document as ResourceQuota).spec ?? {};
const statusOf = (document: Document): Status => (document as ResourceQuota).status ?? {};

export const resourceQuota = defineKind({
  message: "trireme.core.v1.ResourceQuota",
  codec: ResourceQuota,
  service: ResourceQuotasService,
  countsGenerations: false,
  shortNames: ["quota"],

  setDefaults(document) {
    const quota = document as ResourceQuota;
    quota.spec ??= {};
    canonicalise(quota.spec.hard);
    quota.status ??= {};
    canonicalise(quota.status.hard);
    canonicalise(quota.status.used);
  },
  validate(document) {
    const spec = specOf(document);
    return [
      ...validateAmounts(spec.hard, "spec.hard"),
      ...validateScopes(spec),
      ...validateSelector(spec),
    ];
  },
  validateUpdate(next, stored) {
    const scopes = (document: Document) => [...new Set(specOf(document).scopes ?? [])].sort();
    const causes = equalJson(scopes(next), scopes(stored))
      ? []
      : [invalid("spec.scopes", specOf(next).scopes ?? [], "field is immutable")];
    if (equalJson(statusOf(next), statusOf(stored))) return causes;
    return [
      ...causes,
      ...validateAmounts(statusOf(next).hard, "status.hard"),
      ...validateAmounts(statusOf(next).used, "status.used"),
    ];
  },
  columns: [
    nameColumn,
    { name: "Request", value: (document) => shownUse(document, false) },
    { name: "Limit", value: (document) => shownUse(document, true) },
    ageColumn,
  ],
});

/** `limits`: those of limits, otherwise all others. */
function shownUse(document: Document, limits: boolean): string {
  const { hard = {}, used = {} } = statusOf(document);
  return Object.keys(hard)
    .sort()
    .filter((name) => name.startsWith("limits.") === limits)
    .map((name) => `${name}: ${used[name] ?? "0"}/${hard[name]}`)
    .join(", ");
}

function validateAmounts(
  amounts: Readonly<Record<string, string>> | undefined,
  path: string,
): FieldCause[] {
  return Object.entries(amounts ?? {}).flatMap(([name, text]) => [
    ...validateQuotaResourceName(name, `${path}[${name}]`),
    ...validateResourceAmount(name, text, `${path}[${name}]`),
  ]);
}

const computed = ["cpu", "memory"].flatMap((name) => [name, `requests.${name}`, `limits.${name}`]);
const podResources = ["pods", ...computed];

/** By scope: the standard resources of which it can choose a part. */
const resourcesOfScopes: Readonly<Record<string, readonly string[]>> = {
  Terminating: podResources,
  NotTerminating: podResources,
  NotBestEffort: podResources,
  PriorityClass: podResources,
  CrossNamespacePodAffinity: podResources,
  BestEffort: ["pods"],
  VolumeAttributesClass: ["persistentvolumeclaims", "requests.storage"],
};

/** Standard resources of the quota that have nothing to do with the scope, one for each. */
function misplaced(spec: ResourceQuotaSpec, scope: string): string[] {
  const known = Object.hasOwn(resourcesOfScopes, scope) ? resourcesOfScopes[scope] : undefined;
  if (known === undefined) return [];
  return Object.keys(spec.hard ?? {}).filter(
    (name) => isQuotaResource(name) && !known.includes(name),
  );
}

function conflicting(scopes: readonly string[]): boolean[] {
  return [
    ["BestEffort", "NotBestEffort"],
    ["Terminating", "NotTerminating"],
  ]
    .map((pair) => pair.every((scope) => scopes.includes(scope)))
    .filter((both) => both);
}

function validateScopes(spec: ResourceQuotaSpec): FieldCause[] {
  const { scopes = [] } = spec;
  const path = "spec.scopes";
  const causes = scopes.flatMap((scope) => [
    ...(Object.hasOwn(resourcesOfScopes, scope)
      ? []
      : [invalid(path, scopes, "unsupported scope")]),
    ...misplaced(spec, scope).map(() =>
      invalid(path, scopes, "unsupported scope applied to resource"),
    ),
  ]);
  return [...causes, ...conflicting(scopes).map(() => invalid(path, scopes, "conflicting scopes"))];
}

function validateSelector(spec: ResourceQuotaSpec): FieldCause[] {
  const expressions = spec.scopeSelector?.matchExpressions ?? [];
  const path = "spec.scopeSelector.matchExpressions";
  const causes = expressions.flatMap((expression) => [
    ...validateExpression(expression, path),
    ...misplaced(spec, expression.scopeName ?? "").map(() =>
      invalid(path, shownSelector(expressions), "unsupported scope applied to resource"),
    ),
  ]);
  const names = expressions.map(({ scopeName = "" }) => scopeName);
  const conflicts = conflicting(names);
  return [
    ...causes,
    ...conflicts.map(() => invalid(path, spec.scopes ?? null, "conflicting scopes")),
  ];
}

/** With the names that the fields have inside of upstream. */
function shownSelector(expressions: readonly ScopedResourceSelectorRequirement[]): unknown {
  const shown = expressions.map(({ scopeName = "", operator = "", values }) => ({
    ScopeName: scopeName,
    Operator: operator,
    Values: values ?? null,
  }));
  return { MatchExpressions: shown };
}

/** Of these scopes, an object either is or is not. */
const plainScopes = [
  "BestEffort",
  "NotBestEffort",
  "Terminating",
  "NotTerminating",
  "CrossNamespacePodAffinity",
];

function validateExpression(
  expression: ScopedResourceSelectorRequirement,
  path: string,
): FieldCause[] {
  const { scopeName = "", operator = "", values = [] } = expression;
  const causes: FieldCause[] = [];
  if (!Object.hasOwn(resourcesOfScopes, scopeName)) {
    causes.push(invalid(`${path}.scopeName`, scopeName, "unsupported scope"));
  }
  if (plainScopes.includes(scopeName) && operator !== "Exists") {
    const detail =
      "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, " +
      "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, " +
      "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
    causes.push(invalid(`${path}.operator`, operator, detail));
  }
  if (operator === "In" || operator === "NotIn") {
    const detail =
      "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
    if (values.length === 0) causes.push(required(`${path}.values`, detail));
  } else if (operator === "Exists" || operator === "DoesNotExist") {
    const detail =
      "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
    if (values.length > 0) causes.push(invalid(`${path}.values`, values, detail));
  } else {
    causes.push(invalid(`${path}.operator`, operator, "not a valid selector operator"));
  }
  return causes;
}

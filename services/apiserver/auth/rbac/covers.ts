/**
 * Whether some rules give at least what others do: the check that a user grants only rights that the
 * user has (upstream `component-helpers/auth/rbac/validation`).
 */
import type { PolicyRule } from "../../../../proto/gen/rbac.ts";
import { matchesPath } from "./rule.ts";

/** The elementary rights of a request's rules that are looked at before it is refused. */
export const elementaryRightsMax = 100_000;

/**
 * The elementary rights of `wanted` that `held` does not give. Undefined: there are more of them
 * than `elementaryRightsMax`, so nothing was decided.
 */
export function missingRights(
  held: readonly PolicyRule[],
  wanted: readonly PolicyRule[],
): PolicyRule[] | undefined {
  const missing: PolicyRule[] = [];
  let count = 0;
  for (const rule of wanted) {
    // Mostly one rule gives all of another, and nothing need be taken apart.
    if (held.some((each) => covers(each, rule))) continue;
    for (const right of elementaryRights(rule)) {
      count += 1;
      if (count > elementaryRightsMax) return undefined;
      if (!held.some((each) => covers(each, right))) missing.push(right);
    }
  }
  return missing;
}

function* elementaryRights(rule: PolicyRule): Generator<PolicyRule> {
  const { verbs = [], apiGroups = [], resources = [], resourceNames = [] } = rule;
  for (const group of apiGroups) {
    for (const resource of resources) {
      for (const verb of verbs) {
        const right = { apiGroups: [group], resources: [resource], verbs: [verb] };
        if (resourceNames.length === 0) yield right;
        for (const name of resourceNames) yield { ...right, resourceNames: [name] };
      }
    }
  }
  for (const path of rule.nonResourceURLs ?? []) {
    for (const verb of verbs) yield { nonResourceURLs: [path], verbs: [verb] };
  }
}

function covers(held: PolicyRule, wanted: PolicyRule): boolean {
  const names = held.resourceNames ?? [];
  const wantedNames = wanted.resourceNames ?? [];
  return (
    hasAll(held.verbs, wanted.verbs) &&
    hasAll(held.apiGroups, wanted.apiGroups) &&
    (wanted.resources ?? []).every((resource) => coversResource(held, resource)) &&
    (names.length === 0 ||
      (wantedNames.length > 0 && wantedNames.every((name) => names.includes(name)))) &&
    (wanted.nonResourceURLs ?? []).every((path) =>
      (held.nonResourceURLs ?? []).some((pattern) => matchesPath(pattern, path)),
    )
  );
}

function hasAll(held: readonly string[] = [], wanted: readonly string[] = []): boolean {
  return held.includes("*") || wanted.every((each) => held.includes(each));
}

function coversResource({ resources = [] }: PolicyRule, wanted: string): boolean {
  if (resources.includes("*") || resources.includes(wanted)) return true;
  const slash = wanted.indexOf("/");
  return slash >= 0 && resources.includes(`*/${wanted.slice(slash + 1)}`);
}

/** Joins the verbs of rights to the same thing. */
export function compactRules(rules: readonly PolicyRule[]): PolicyRule[] {
  const joined = new Map<string, PolicyRule>();
  for (const rule of rules) {
    const { verbs = [], ...thing } = rule;
    const key = JSON.stringify([thing.apiGroups, thing.resources, thing.resourceNames, thing]);
    const before = joined.get(key)?.verbs ?? [];
    joined.set(key, { ...thing, verbs: [...before, ...verbs] });
  }
  return [...joined.values()];
}

/** E.g. `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`, as upstream's errors show it. */
export function ruleText(rule: PolicyRule): string {
  const parts: readonly [name: string, values: readonly string[] | undefined][] = [
    ["APIGroups", rule.apiGroups],
    ["Resources", rule.resources],
    ["NonResourceURLs", rule.nonResourceURLs],
    ["ResourceNames", rule.resourceNames],
    ["Verbs", rule.verbs],
  ];
  const shown = parts.flatMap(([name, values = []]) => {
    return values.length === 0 ? [] : [`${name}:${quotedList(values)}`];
  });
  return `{${shown.join(", ")}}`;
}

/** Go's `%q` of a list. */
export function quotedList(values: readonly string[]): string {
  return `[${values.map((value) => JSON.stringify(value)).join(" ")}]`;
}

/** One rule of a role: whether it allows a request (upstream `pkg/apis/rbac/v1` and `rbac.RuleAllows`). */
import type { PolicyRule } from "../../../../proto/gen/rbac.ts";
import type { RequestInfo } from "../../request-info.ts";

const everything = "*";

/** A role made ready for quick decisions; made once per revision. */
export class ReadyRole {
  readonly rules: readonly PolicyRule[];
  /** By `resource[/subresource]`: the rules that name it. */
  readonly #named = new Map<string, ReadyRule[]>();
  /** The rules for every resource, or for a subresource of every one. */
  readonly #wide: ReadyRule[] = [];
  readonly #paths: PolicyRule[] = [];

  constructor(rules: readonly PolicyRule[]) {
    this.rules = rules;
    for (const rule of rules) {
      if (rule.nonResourceURLs?.length) this.#paths.push(rule);
      const ready = readyRule(rule);
      const resources = new Set(rule.resources);
      const wide = [...resources].some((name) => name.startsWith(everything));
      if (wide) this.#wide.push(ready);
      for (const name of resources) {
        if (name.startsWith(everything)) continue;
        const named = this.#named.get(name);
        if (named === undefined) this.#named.set(name, [ready]);
        else named.push(ready);
      }
    }
  }

  allows(request: RequestInfo): boolean {
    const { resource, subresource } = request;
    if (resource === "") return this.#allowsPath(request);
    const name = subresource === "" ? resource : `${resource}/${subresource}`;
    const named = this.#named.get(name);
    if (named?.some((rule) => rule.allows(request))) return true;
    return this.#wide.some((rule) => rule.widely(subresource) && rule.allows(request));
  }

  #allowsPath({ verb, path }: RequestInfo): boolean {
    return this.#paths.some(({ verbs = [], nonResourceURLs = [] }) => {
      if (!verbs.includes(everything) && !verbs.includes(verb)) return false;
      return nonResourceURLs.some((pattern) => matchesPath(pattern, path));
    });
  }
}

interface ReadyRule {
  /** Verb, group and name; the resource has been matched. */
  allows(request: RequestInfo): boolean;
  /** Whether it is for every resource, or for this subresource of every one. */
  widely(subresource: string): boolean;
}

function readyRule(rule: PolicyRule): ReadyRule {
  const verbs = matcher(rule.verbs);
  const groups = matcher(rule.apiGroups);
  const names = rule.resourceNames?.length ? new Set(rule.resourceNames) : undefined;
  const resources = new Set(rule.resources);
  return {
    allows: ({ verb, group, name }) =>
      verbs(verb) && groups(group) && (names === undefined || names.has(name)),
    widely: (subresource) =>
      resources.has(everything) || (subresource !== "" && resources.has(`*/${subresource}`)),
  };
}

function matcher(values: readonly string[] = []): (value: string) => boolean {
  if (values.includes(everything)) return () => true;
  const [only] = values;
  if (only !== undefined && values.length === 1) return (value) => value === only;
  const set = new Set(values);
  return (value) => set.has(value);
}

export function matchesPath(pattern: string, path: string): boolean {
  if (pattern === everything || pattern === path) return true;
  return pattern.endsWith(everything) && path.startsWith(pattern.replace(/\*+$/, ""));
}

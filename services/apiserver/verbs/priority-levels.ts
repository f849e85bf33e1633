/** Which priority level and which flow a request belongs to: the flow schemas, ready to be asked. */
import type {
  FlowSchema,
  FlowSubject,
  PolicyRulesWithSubjects,
  PriorityLevelConfiguration,
  ResourcePolicyRule,
} from "../../../proto/gen/flowcontrol.ts";
import type { RequestInfo, User } from "../request-info.ts";
import { flowDefaults } from "./flow-defaults.ts";

/** What there is to match requests with. */
export interface FlowConfiguration {
  readonly schemas: readonly FlowSchema[];
  readonly levels: readonly PriorityLevelConfiguration[];
}

/** The mandatory objects stand in for those that are missing. */
export function completed({ schemas, levels }: FlowConfiguration): FlowConfiguration {
  const { mandatory } = flowDefaults;
  return {
    schemas: withMissing(schemas, mandatory.schemas),
    levels: withMissing(levels, mandatory.levels),
  };
}

type Named = { readonly metadata?: { readonly name?: string | undefined } | undefined };

function withMissing<T extends Named>(given: readonly T[], wanted: readonly T[]): readonly T[] {
  const names = new Set(given.map(({ metadata }) => metadata?.name));
  return [...given, ...wanted.filter(({ metadata }) => !names.has(metadata?.name))];
}

export interface MatchedSchema {
  readonly name: string;
  readonly uid: string;
  readonly level: string;
  /** Requests of one flow wait in one queue; flows take turns. */
  flowOf(request: RequestInfo): string;
}

interface CompiledSchema extends MatchedSchema {
  readonly precedence: number;
  matches(request: RequestInfo): boolean;
}

/** In the order in which they are asked: by precedence, then by name. */
export function compileSchemas(schemas: readonly FlowSchema[]): readonly CompiledSchema[] {
  const compiled = schemas.map(({ metadata, spec = {} }): CompiledSchema => {
    const { matchingPrecedence = 1_000, distinguisherMethod } = spec;
    const name = metadata?.name ?? "";
    const rules = (spec.rules ?? []).map(compileRule);
    return {
      name,
      uid: metadata?.uid ?? "",
      level: spec.priorityLevelConfiguration?.name ?? "",
      precedence: matchingPrecedence,
      matches: (request) => rules.some((matches) => matches(request)),
      flowOf: (request) => `${name} ${distinguished(distinguisherMethod?.type, request)}`,
    };
  });
  const byName = (one: CompiledSchema, other: CompiledSchema) => (one.name < other.name ? -1 : 1);
  return compiled.sort((one, other) => one.precedence - other.precedence || byName(one, other));
}

function distinguished(method: string | undefined, { user, namespace }: RequestInfo): string {
  if (method === "ByUser") return user.name;
  return method === "ByNamespace" ? namespace : "";
}

type Test<T> = (one: T) => boolean;

function compileRule(rule: PolicyRulesWithSubjects): Test<RequestInfo> {
  const { resourceRules = [] } = rule;
  const subjects = (rule.subjects ?? []).map(compileSubject);
  return (request) =>
    subjects.some((matches) => matches(request.user)) &&
    resourceRules.some((one) => resourceMatches(one, request));
}

function compileSubject({ kind, user, group, serviceAccount }: FlowSubject): Test<User> {
  switch (kind) {
    case "User":
      return user?.name === "*" ? () => true : ({ name }) => name === user?.name;
    case "Group":
      return group?.name === "*" ? () => true : inGroup(group?.name ?? "");
    default: {
      const prefix = `system:serviceaccount:${serviceAccount?.namespace ?? ""}:`;
      if (serviceAccount?.name === "*") return ({ name }) => name.startsWith(prefix);
      const account = `${prefix}${serviceAccount?.name ?? ""}`;
      return ({ name }) => name === account;
    }
  }
}

function inGroup(group: string): Test<User> {
  return ({ groups }) => groups.includes(group);
}

function resourceMatches(rule: ResourcePolicyRule, request: RequestInfo): boolean {
  const { verb, group, resource, subresource, namespace } = request;
  if (!holds(rule.verbs, verb) || !holds(rule.apiGroups, group)) return false;
  const shown = subresource === "" ? resource : `${resource}/${subresource}`;
  if (!holds(rule.resources, shown)) return false;
  return namespace === "" ? rule.clusterScope === true : holds(rule.namespaces, namespace);
}

function holds(list: readonly string[] | undefined, text: string): boolean {
  return list !== undefined && (list.includes(text) || list[0] === "*");
}

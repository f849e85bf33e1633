/**
 * Which requests the audit log tells of, and how much: `Policy` of audit.k8s.io/v1 (apiserver
 * `pkg/audit/policy`). The first rule that fits a request decides.
 */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { typeInvalid } from "../../kinds/machinery/causes.ts";
import { getField, isObject, type JsonObject } from "../../kinds/machinery/json.ts";
import { invalid, notSupported, parseYaml, required } from "../../kinds/mod.ts";
import type { RequestInfo, User } from "../request-info.ts";

const auditLevels = ["None", "Metadata", "Request", "RequestResponse"] as const;
type AuditLevel = (typeof auditLevels)[number];

const auditStages = [
  ...(["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"] as const),
];
export type AuditStage = (typeof auditStages)[number];

export interface AuditVerdict {
  readonly level: AuditLevel;
  readonly omitStages: ReadonlySet<AuditStage>;
  readonly omitManagedFields: boolean;
}

interface GroupResources {
  readonly group: string;
  readonly resources: readonly string[];
  readonly resourceNames: readonly string[];
}

interface Rule {
  readonly users: readonly string[];
  readonly userGroups: readonly string[];
  readonly verbs: readonly string[];
  readonly resources: readonly GroupResources[];
  readonly namespaces: readonly string[];
  readonly nonResourceUrls: readonly string[];
  readonly verdict: AuditVerdict;
}

const silent: AuditVerdict = { level: "None", omitStages: new Set(), omitManagedFields: false };

const policyBytesMax = 1024 * 1024;

export class AuditPolicy {
  readonly #rules: readonly Rule[];

  private constructor(rules: readonly Rule[]) {
    this.#rules = rules;
  }

  /** Of a YAML or JSON text. Throws InvalidArgument with everything that is wrong with it. */
  static parse(text: string, file: string): AuditPolicy {
    const reader = new PolicyReader();
    const rules = reader.policy(documentOf(text, file));
    const [first] = reader.causes;
    if (first === undefined) return new AuditPolicy(rules);
    const all = reader.causes.map(({ field, message }) => `${field}: ${message}`).join("; ");
    throw wrong(file, all);
  }

  /** `caller`: who sends the request, also in another's name. */
  verdictOf(request: RequestInfo, caller: User): AuditVerdict {
    return this.#rules.find((rule) => fits(rule, request, caller))?.verdict ?? silent;
  }
}

function wrong(file: string, why: string): StatusError {
  return new StatusError(Code.invalidArgument, `--audit-policy-file ${file}: ${why}`);
}

function documentOf(text: string, file: string): unknown {
  if (text.length > policyBytesMax) {
    throw wrong(file, `${text.length} bytes, at most ${policyBytesMax} are read`);
  }
  let documents: unknown[];
  try {
    documents = parseYaml(text).filter((each) => each !== null);
  } catch (thrown) {
    throw wrong(file, StatusError.from(thrown).message);
  }
  if (documents.length === 1) return documents[0];
  throw wrong(file, `${documents.length} YAML documents, must be one`);
}

function fits(rule: Rule, request: RequestInfo, { name, groups }: User): boolean {
  if (!holds(rule.users, name)) return false;
  if (rule.userGroups.length > 0 && !groups.some((group) => rule.userGroups.includes(group))) {
    return false;
  }
  if (!holds(rule.verbs, request.verb)) return false;
  if (rule.namespaces.length > 0 || rule.resources.length > 0) {
    return request.resource !== "" && fitsResource(rule, request);
  }
  if (rule.nonResourceUrls.length === 0) return true;
  return request.resource === "" && rule.nonResourceUrls.some((url) => isBelow(url, request.path));
}

/** An empty list holds everything. */
function holds(list: readonly string[], text: string): boolean {
  return list.length === 0 || list.includes(text);
}

function fitsResource({ namespaces, resources }: Rule, request: RequestInfo): boolean {
  if (!holds(namespaces, request.namespace)) return false;
  if (resources.length === 0) return true;
  const { group, resource, subresource, name } = request;
  const whole = subresource === "" ? resource : `${resource}/${subresource}`;
  const named = (each: string) =>
    each === whole ||
    each === "*" ||
    (subresource !== "" && each === `*/${subresource}`) ||
    each === `${resource}/*`;
  return resources.some(
    (each) =>
      each.group === group &&
      (each.resources.length === 0 ||
        (holds(each.resourceNames, name) && each.resources.some(named))),
  );
}

function isBelow(url: string, path: string): boolean {
  return url.endsWith("*") ? path.startsWith(url.slice(0, -1)) : url === path;
}

type Fields = Readonly<Record<string, "text" | "texts" | "flag" | "list" | "any">>;

const ruleFields: Fields = {
  level: "text",
  users: "texts",
  userGroups: "texts",
  verbs: "texts",
  resources: "list",
  namespaces: "texts",
  nonResourceURLs: "texts",
  omitStages: "texts",
  omitManagedFields: "flag",
};
const groupFields: Fields = { group: "text", resources: "texts", resourceNames: "texts" };
const policyFields: Fields = {
  apiVersion: "text",
  kind: "text",
  metadata: "any",
  rules: "list",
  omitStages: "texts",
  omitManagedFields: "flag",
};

/** Reads a policy, and collects what is wrong with it. */
class PolicyReader {
  readonly causes: FieldCause[] = [];

  policy(value: unknown): Rule[] {
    const policy = this.#object("", value, policyFields);
    const { apiVersion, kind } = policy;
    if (apiVersion !== "audit.k8s.io/v1") {
      this.causes.push(notSupported("apiVersion", apiVersion ?? "", ["audit.k8s.io/v1"]));
    }
    if (kind !== "Policy") this.causes.push(notSupported("kind", kind ?? "", ["Policy"]));
    const omitStages = this.#stages("omitStages", policy);
    const rules = listOf(policy, "rules");
    if (rules.length === 0) this.causes.push(required("rules", "a policy has at least one rule"));
    return rules.map((rule, index) => this.#rule(`rules[${index}]`, rule, policy, omitStages));
  }

  #rule(at: string, value: unknown, policy: JsonObject, omitted: readonly AuditStage[]): Rule {
    const rule = this.#object(at, value, ruleFields);
    const level = getField(rule, "level") ?? "";
    if (!isLevel(level)) this.causes.push(notSupported(`${at}.level`, level, [...auditLevels]));
    const nonResourceUrls = textsOf(rule, "nonResourceURLs");
    this.#checkUrls(`${at}.nonResourceURLs`, nonResourceUrls);
    const resources = listOf(rule, "resources");
    const namespaces = textsOf(rule, "namespaces");
    if (nonResourceUrls.length > 0 && resources.length + namespaces.length > 0) {
      const why = "rules cannot apply to both regular resources and non-resource URLs";
      this.causes.push(invalid(`${at}.nonResourceURLs`, nonResourceUrls, why));
    }
    const omitStages = new Set([...omitted, ...this.#stages(`${at}.omitStages`, rule)]);
    const omit = getField(rule, "omitManagedFields") ?? getField(policy, "omitManagedFields");
    return {
      users: textsOf(rule, "users"),
      userGroups: textsOf(rule, "userGroups"),
      verbs: textsOf(rule, "verbs"),
      namespaces,
      nonResourceUrls,
      resources: resources.map((each, index) => this.#group(`${at}.resources[${index}]`, each)),
      verdict: {
        level: isLevel(level) ? level : "None",
        omitStages,
        omitManagedFields: omit === true,
      },
    };
  }

  #group(at: string, value: unknown): GroupResources {
    const fields = this.#object(at, value, groupFields);
    const resources = textsOf(fields, "resources");
    const resourceNames = textsOf(fields, "resourceNames");
    const { group = "" } = fields;
    if (
      typeof group === "string" &&
      group !== "" &&
      !/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(group)
    ) {
      this.causes.push(invalid(`${at}.group`, group, "must be the name of an API group"));
    }
    if (resourceNames.length > 0 && resources.length === 0) {
      const why = "using resourceNames requires at least one resource";
      this.causes.push(invalid(`${at}.resourceNames`, resourceNames, why));
    }
    return { group: typeof group === "string" ? group : "", resources, resourceNames };
  }

  #checkUrls(at: string, urls: readonly string[]): void {
    urls.forEach((url, index) => {
      if (url === "*") return;
      const field = `${at}[${index}]`;
      if (!url.startsWith("/")) {
        const why = "non-resource URL rules must begin with a '/' character";
        this.causes.push(invalid(field, url, why));
      }
      if (url.slice(0, -1).includes("*")) {
        const why = "non-resource URL wildcards '*' must be the final character of the rule";
        this.causes.push(invalid(field, url, why));
      }
    });
  }

  #stages(at: string, fields: JsonObject): AuditStage[] {
    const given = textsOf(fields, "omitStages");
    const known = given.filter(isStage);
    given.forEach((stage, index) => {
      if (isStage(stage)) return;
      this.causes.push(notSupported(`${at}[${index}]`, stage, [...auditStages]));
    });
    return known;
  }

  /** The object, of which nothing but these fields may be given, each of its type. */
  #object(at: string, value: unknown, fields: Fields): JsonObject {
    if (!isObject(value)) {
      this.causes.push(typeInvalid(at || "policy", value, "must be an object"));
      return {};
    }
    for (const [name, each] of Object.entries(value)) {
      const field = at === "" ? name : `${at}.${name}`;
      const type = Object.hasOwn(fields, name) ? fields[name] : undefined;
      if (type === undefined) this.causes.push(invalid(field, each, "unknown field"));
      else if (!isOf(type, each)) {
        this.causes.push(typeInvalid(field, each, `must be ${typeTexts[type]}`));
      }
    }
    return value;
  }
}

const typeTexts = {
  text: "a string",
  texts: "a list of strings",
  flag: "true or false",
  list: "a list",
  any: "anything",
} as const;

function isOf(type: Fields[string], value: unknown): boolean {
  if (value === null || value === undefined) return true;
  switch (type) {
    case "text":
      return typeof value === "string";
    case "texts":
      return Array.isArray(value) && value.every((each) => typeof each === "string");
    case "flag":
      return typeof value === "boolean";
    case "list":
      return Array.isArray(value);
    default:
      return true;
  }
}

function isLevel(value: unknown): value is AuditLevel {
  return auditLevels.some((level) => level === value);
}

function isStage(value: string): value is AuditStage {
  return auditStages.some((stage) => stage === value);
}

function textsOf(fields: JsonObject, name: string): string[] {
  return listOf(fields, name).filter((each) => typeof each === "string");
}

function listOf(fields: JsonObject, name: string): readonly unknown[] {
  const value = getField(fields, name);
  return Array.isArray(value) ? value : [];
}

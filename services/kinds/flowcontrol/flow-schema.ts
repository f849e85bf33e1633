import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  FlowSchema,
  type FlowSchemaSpec,
  FlowSchemasService,
  type FlowSubject,
  type NonResourcePolicyRule,
  type PolicyRulesWithSubjects,
  type ResourcePolicyRule,
  type ServiceAccountSubject,
} from "../../../proto/gen/flowcontrol.ts";
import { forbidden, invalid, notSupported, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { wrong } from "../machinery/field-rules.ts";
import { checkLabelName, checkSubdomain } from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";

const specOf = (document: Document): FlowSchemaSpec => (document as FlowSchema).spec ?? {};

const precedenceMax = 10_000;

export const flowSchema = defineKind({
  message: "trireme.flowcontrol.v1.FlowSchema",
  codec: FlowSchema,
  service: FlowSchemasService,

  setDefaults(document) {
    const one = document as FlowSchema;
    one.spec ??= {};
    one.spec.matchingPrecedence ||= 1_000;
  },
  validate(document) {
    const { matchingPrecedence: precedence = 0, ...spec } = specOf(document);
    const causes: FieldCause[] = [];
    const name = document.metadata?.name ?? "";
    if (precedence < 1) {
      const why = "must be a positive value";
      causes.push(invalid("spec.matchingPrecedence", precedence, why));
    }
    if (precedence > precedenceMax) {
      const why = `must not be greater than ${precedenceMax}`;
      causes.push(invalid("spec.matchingPrecedence", precedence, why));
    }
    if (precedence === 1 && name !== "exempt") {
      const why = "only the schema named 'exempt' may have matchingPrecedence 1";
      causes.push(invalid("spec.matchingPrecedence", precedence, why));
    }
    const { distinguisherMethod, priorityLevelConfiguration, rules = [] } = spec;
    const type = distinguisherMethod?.type;
    if (distinguisherMethod !== undefined && !methods.includes(type ?? "")) {
      // The value that the message shows is upstream's, with its name for the field.
      causes.push(notSupported("spec.distinguisherMethod.type", { Type: type ?? "" }, methods));
    }
    const { name: level = "" } = priorityLevelConfiguration ?? {};
    const field = "spec.priorityLevelConfiguration.name";
    if (level === "") causes.push(required(field, "must reference a priority level"));
    else causes.push(...wrong(field, level, checkSubdomain(level)));
    rules.forEach((rule, at) => {
      causes.push(...ruleCauses(`spec.rules[${at}]`, rule));
    });
    return causes;
  },
  columns: [
    nameColumn,
    {
      name: "PriorityLevel",
      value: (document) => specOf(document).priorityLevelConfiguration?.name ?? "",
    },
    {
      name: "MatchingPrecedence",
      value: (document) => specOf(document).matchingPrecedence ?? 0,
    },
    {
      name: "DistinguisherMethod",
      value: (document) => specOf(document).distinguisherMethod?.type ?? "<none>",
    },
    ageColumn,
    { name: "MissingPL", value: (document) => missing(document as FlowSchema) },
  ],
});

const methods = ["ByNamespace", "ByUser"];

function missing({ status }: FlowSchema): string {
  return status?.conditions?.find(({ type }) => type === "Dangling")?.status ?? "?";
}

function ruleCauses(at: string, rule: PolicyRulesWithSubjects): FieldCause[] {
  const { subjects = [], resourceRules = [], nonResourceRules = [] } = rule;
  const causes: FieldCause[] = [];
  if (subjects.length === 0) {
    causes.push(required(`${at}.subjects`, "subjects must contain at least one value"));
  }
  subjects.forEach((subject, index) => {
    causes.push(...subjectCauses(`${at}.subjects[${index}]`, subject));
  });
  if (resourceRules.length + nonResourceRules.length === 0) {
    causes.push(
      required(at, "at least one of resourceRules and nonResourceRules has to be non-empty"),
    );
  }
  resourceRules.forEach((one, index) => {
    causes.push(...resourceRuleCauses(`${at}.resourceRules[${index}]`, one));
  });
  nonResourceRules.forEach((one, index) => {
    causes.push(...nonResourceRuleCauses(`${at}.nonResourceRules[${index}]`, one));
  });
  return causes;
}

function resourceRuleCauses(at: string, rule: ResourcePolicyRule): FieldCause[] {
  const { verbs = [], apiGroups = [], resources = [], namespaces = [], clusterScope } = rule;
  const group = "resource rules must supply at least one api group";
  const resource = "resource rules must supply at least one resource";
  const causes = [
    ...verbCauses(`${at}.verbs`, verbs),
    ...listCauses(`${at}.apiGroups`, apiGroups, group, "api groups"),
    ...listCauses(`${at}.resources`, resources, resource, "resources"),
  ];
  const field = `${at}.namespaces`;
  if (namespaces.length === 0 && !clusterScope) {
    const why = "resource rules that are not cluster scoped must supply at least one namespace";
    return [...causes, required(field, why)];
  }
  if (namespaces.includes("*")) return [...causes, ...starCauses(field, namespaces, "namespaces")];
  const each = "each member of this list must be '*' or a DNS-1123 label; ";
  return [
    ...causes,
    ...namespaces.flatMap((name, index) =>
      checkLabelName(name).map((why) => invalid(`${field}[${index}]`, name, `${each}${why}`)),
    ),
  ];
}

function nonResourceRuleCauses(at: string, rule: NonResourcePolicyRule): FieldCause[] {
  const { verbs = [], nonResourceURLs = [] } = rule;
  const field = `${at}.nonResourceURLs`;
  const missing = "nonResourceURLs must contain at least one value";
  const causes = [
    ...verbCauses(`${at}.verbs`, verbs),
    ...listCauses(field, nonResourceURLs, missing, "non-resource URLs"),
  ];
  if (nonResourceURLs.includes("*")) return causes;
  nonResourceURLs.forEach((url, index) => {
    const why = urlProblem(url);
    if (why !== undefined) causes.push(invalid(`${field}[${index}]`, url, why));
  });
  return causes;
}

function urlProblem(url: string): string | undefined {
  if (url === "") return "must not be empty";
  if (!url.startsWith("/")) return "must start with slash";
  if (url.includes(" ")) return "must not contain white-space";
  if (url.includes("//")) return "must not contain double slash";
  if (/^[^*]*(?:\/\*)?$/.test(url)) return undefined;
  return "wildcard can only do suffix matching";
}

const supportedVerbs = [
  "get",
  "list",
  "create",
  "update",
  "delete",
  "deletecollection",
  "patch",
  "watch",
  "proxy",
];

function verbCauses(at: string, verbs: readonly string[]): FieldCause[] {
  const causes = listCauses(at, verbs, "verbs must contain at least one value", "verbs");
  if (verbs.includes("*") || verbs.every((verb) => supportedVerbs.includes(verb))) return causes;
  return [...causes, notSupported(at, verbs, supportedVerbs)];
}

function listCauses(
  at: string,
  list: readonly string[],
  missing: string,
  noun: string,
): FieldCause[] {
  return list.length === 0 ? [required(at, missing)] : starCauses(at, list, noun);
}

function starCauses(at: string, list: readonly string[], noun: string): FieldCause[] {
  if (list.length < 2 || !list.includes("*")) return [];
  return [invalid(at, list, `if '*' is present, must not specify other ${noun}`)];
}

/** The field of a subject by its kind, in the order in which upstream refuses the others. */
const fieldOfKind = {
  ServiceAccount: "serviceAccount",
  User: "user",
  Group: "group",
} as const;
const subjectKinds = ["ServiceAccount", "User", "Group"] as const;

function subjectCauses(at: string, subject: FlowSubject): FieldCause[] {
  const kind = subjectKinds.find((each) => each === subject.kind);
  if (kind === undefined) return [notSupported(`${at}.kind`, subject.kind ?? "", subjectKinds)];
  const own = fieldOfKind[kind];
  const field = `${at}.${own}`;
  const { name = "" } = subject[own] ?? {};
  const causes: FieldCause[] = [];
  if (subject[own] === undefined) {
    causes.push(required(field, `${own} is required when subject kind is '${kind}'`));
  } else if (name === "") causes.push(required(`${field}.name`));
  if (kind === "ServiceAccount" && subject.serviceAccount !== undefined) {
    causes.push(...accountCauses(field, subject.serviceAccount));
  }
  for (const other of subjectKinds) {
    const named = fieldOfKind[other];
    if (other === kind || subject[named] === undefined) continue;
    const why = `${named} is forbidden when subject kind is not '${other}'`;
    causes.push(forbidden(`${at}.${named}`, why));
  }
  return causes;
}

function accountCauses(at: string, account: ServiceAccountSubject): FieldCause[] {
  const { name = "", namespace = "" } = account;
  const causes = name === "" || name === "*" ? [] : wrong(`${at}.name`, name, checkSubdomain(name));
  const field = `${at}.namespace`;
  if (namespace === "") {
    return [...causes, required(field, "must specify namespace for service account")];
  }
  return [...causes, ...wrong(field, namespace, checkLabelName(namespace))];
}

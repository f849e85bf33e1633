import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  FlowSchema,
  type FlowSchemaSpec,
  FlowSchemasService,
  type FlowSubject,
  type PolicyRulesWithSubjects,
} from "../../../proto/gen/flowcontrol.ts";
import { forbidden, invalid, notSupported, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
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
    one.spec.matchingPrecedence ??= 1_000;
  },
  validate(document) {
    const { matchingPrecedence: precedence = 0, ...spec } = specOf(document);
    const causes: FieldCause[] = [];
    const name = document.metadata?.name ?? "";
    if (precedence === 1 && name !== "exempt") {
      const why = "only the schema named 'exempt' may have matchingPrecedence 1";
      causes.push(invalid("spec.matchingPrecedence", precedence, why));
    }
    if (precedence < 1) {
      const why = "must be a positive value";
      causes.push(invalid("spec.matchingPrecedence", precedence, why));
    }
    if (precedence > precedenceMax) {
      const why = `must not be greater than ${precedenceMax}`;
      causes.push(invalid("spec.matchingPrecedence", precedence, why));
    }
    const { distinguisherMethod, priorityLevelConfiguration, rules = [] } = spec;
    const type = distinguisherMethod?.type;
    if (distinguisherMethod !== undefined && !methods.includes(type ?? "")) {
      causes.push(notSupported("spec.distinguisherMethod", type ?? "", methods));
    }
    if (!priorityLevelConfiguration?.name) {
      const why = "must reference a priority level";
      causes.push(required("spec.priorityLevelConfiguration.name", why));
    }
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
  if (subjects.length === 0)
    causes.push(required(`${at}.subjects`, "subjects must contain at least one value"));
  subjects.forEach((subject, index) => {
    causes.push(...subjectCauses(`${at}.subjects[${index}]`, subject));
  });
  if (resourceRules.length + nonResourceRules.length === 0) {
    causes.push(
      required(at, "at least one of resourceRules and nonResourceRules has to be non-empty"),
    );
  }
  resourceRules.forEach((one, index) => {
    const { verbs, apiGroups, resources, namespaces = [], clusterScope } = one;
    const place = `${at}.resourceRules[${index}]`;
    causes.push(
      ...listCauses(`${place}.verbs`, verbs),
      ...listCauses(`${place}.apiGroups`, apiGroups),
    );
    causes.push(...listCauses(`${place}.resources`, resources));
    if (namespaces.length === 0 && !clusterScope) {
      const why = "resource rules that are not cluster scoped must supply at least one namespace";
      causes.push(required(`${place}.namespaces`, why));
    } else causes.push(...starCauses(`${place}.namespaces`, namespaces));
  });
  nonResourceRules.forEach(({ verbs, nonResourceURLs = [] }, index) => {
    const place = `${at}.nonResourceRules[${index}]`;
    causes.push(...listCauses(`${place}.verbs`, verbs));
    causes.push(...listCauses(`${place}.nonResourceURLs`, nonResourceURLs));
    nonResourceURLs.forEach((url, path) => {
      if (url === "*" || /^\/[^*]*(?:\/\*)?$/.test(url)) return;
      const why = "must be '*' or a path that begins with '/', with '*' only as its last part";
      causes.push(invalid(`${place}.nonResourceURLs[${path}]`, url, why));
    });
  });
  return causes;
}

function listCauses(at: string, list: readonly string[] | undefined): FieldCause[] {
  if (list === undefined || list.length === 0) {
    return [required(at, `${at.split(".").at(-1)} must contain at least one value`)];
  }
  return starCauses(at, list);
}

function starCauses(at: string, list: readonly string[]): FieldCause[] {
  if (list.length < 2 || !list.includes("*")) return [];
  return [invalid(at, list, "if '*' is present, must not specify other values")];
}

const subjectKinds = ["Group", "ServiceAccount", "User"];

function subjectCauses(at: string, subject: FlowSubject): FieldCause[] {
  const { kind = "", user, group, serviceAccount } = subject;
  if (!subjectKinds.includes(kind)) return [notSupported(`${at}.kind`, kind, subjectKinds)];
  const given = { User: user, Group: group, ServiceAccount: serviceAccount };
  const fields = { User: "user", Group: "group", ServiceAccount: "serviceAccount" };
  const causes: FieldCause[] = [];
  for (const each of ["User", "Group", "ServiceAccount"] as const) {
    const field = `${at}.${fields[each]}`;
    const value = given[each];
    if (each !== kind) {
      if (value === undefined) continue;
      causes.push(
        forbidden(field, `${fields[each]} is forbidden when subject kind is not '${each}'`),
      );
    } else if (value === undefined) {
      causes.push(required(field, `${fields[each]} is required when subject kind is '${each}'`));
    } else if (!value.name) causes.push(required(`${field}.name`));
  }
  if (kind === "ServiceAccount" && serviceAccount && !serviceAccount.namespace) {
    const why = "must specify namespace for service account";
    causes.push(required(`${at}.serviceAccount.namespace`, why));
  }
  return causes;
}

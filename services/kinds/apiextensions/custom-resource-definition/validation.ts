/**
 * What is wrong with a CustomResourceDefinition, in the words of apiextensions-apiserver
 * `validation.ValidateCustomResourceDefinition`. Upstream keeps what all versions have in common
 * beside them, and names it so: `spec.validation`, `spec.subresources`.
 */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionSpec,
  CustomResourceDefinitionVersion,
} from "../../../../proto/gen/apiextensions.ts";
import { forbidden, invalid, notSupported, required } from "../../machinery/causes.ts";
import { equalJson } from "../../machinery/json.ts";
import { checkSubdomain } from "../../machinery/names.ts";
import type { Document } from "../../machinery/resource.ts";
import { validateConversion } from "./conversion-validation.ts";
import { checkDnsLabel, validateNames } from "./name-validation.ts";
import { validateColumns, validateScale, validateSelectableFields } from "./path-validation.ts";
import { compiledSchema } from "./schemas.ts";
import { validateStoredVersions } from "./update-validation.ts";

const versionsMax = 100;

export function validateDefinition(document: Document): FieldCause[] {
  const definition = document as CustomResourceDefinition;
  const { metadata, spec = {} } = definition;
  const { group = "", names = {} } = spec;
  const causes: FieldCause[] = [];
  const name = `${names.plural ?? ""}.${group}`;
  if (metadata?.name && metadata.name !== name) {
    const detail = 'must be spec.names.plural+"."+spec.group';
    causes.push(invalid("metadata.name", metadata.name, detail));
  }
  causes.push(...validateApproval(definition), ...validateSpec(spec));
  causes.push(...validateNames(definition.status?.acceptedNames ?? {}, "status.acceptedNames"));
  causes.push(...validateStoredVersions(definition));
  return causes;
}

function validateSpec(spec: CustomResourceDefinitionSpec): FieldCause[] {
  const { group = "", scope = "", names = {}, versions = [] } = spec;
  const causes: FieldCause[] = [];
  const groupProblems = checkSubdomain(group);
  if (group === "") causes.push(required("spec.group"));
  else if (groupProblems.length > 0) {
    causes.push(invalid("spec.group", group, groupProblems.join(",")));
  } else if (!group.includes(".")) {
    causes.push(invalid("spec.group", group, "should be a domain with at least one dot"));
  }
  if (scope === "") causes.push(required("spec.scope"));
  else if (scope !== "Cluster" && scope !== "Namespaced") {
    causes.push(notSupported("spec.scope", scope, ["Cluster", "Namespaced"]));
  }
  if (spec.preserveUnknownFields === true) {
    const detail =
      "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in " +
      "spec.versions[*].schema instead";
    causes.push(invalid("spec.preserveUnknownFields", true, detail));
  }
  causes.push(...validateVersions(versions, spec.versions));
  for (const field of ["plural", "singular", "kind", "listKind"] as const) {
    if (!names[field]) causes.push(required(`spec.names.${field}`));
  }
  causes.push(...validateNames(names, "spec.names"), ...validateConversion(spec.conversion));
  return causes;
}

/** `given`: the versions as they were given, if they were. */
function validateVersions(
  versions: readonly CustomResourceDefinitionVersion[],
  given: readonly unknown[] | undefined,
): FieldCause[] {
  const causes: FieldCause[] = [];
  if (versions.length > versionsMax) {
    const message = `Too many: ${versions.length}: must have at most ${versionsMax} items`;
    return [{ reason: "FieldValueTooMany", field: "spec.versions", message }];
  }
  const names = versions.map(({ name = "" }) => name);
  for (const [index, version] of versions.entries()) {
    const at = `spec.versions[${index}]`;
    const problems = checkDnsLabel(version.name ?? "");
    if (problems.length > 0) {
      causes.push(invalid(`${at}.name`, version.name ?? "", problems.join(",")));
    }
    if (version.schema?.openAPIV3Schema === undefined) {
      causes.push(required(`${at}.schema.openAPIV3Schema`));
    }
    causes.push(...validateDeprecation(version, at));
  }
  causes.push(...validateParts(versions));
  const shown = given === undefined ? null : versions.map(shownVersion);
  if (new Set(names).size < names.length) {
    causes.push(invalid("spec.versions", shown, "must contain unique version names"));
  }
  if (versions.filter(({ storage }) => storage === true).length !== 1) {
    const detail = "must have exactly one version marked as storage version";
    causes.push(invalid("spec.versions", shown, detail));
  }
  // The first version stands for the field that there was before there were several.
  const [first = ""] = names;
  const problems = first === "" ? [] : checkDnsLabel(first);
  if (problems.length > 0) causes.push(invalid("spec.version", first, problems.join(",")));
  return causes;
}

/** As upstream shows a version, with its names for the fields; what all share is kept elsewhere. */
function shownVersion(version: CustomResourceDefinitionVersion): object {
  return {
    Name: version.name ?? "",
    Served: version.served ?? false,
    Storage: version.storage ?? false,
    Deprecated: version.deprecated ?? false,
    DeprecationWarning: version.deprecationWarning ?? null,
    Schema: null,
    Subresources: null,
    AdditionalPrinterColumns: null,
    SelectableFields: null,
  };
}

function validateDeprecation(version: CustomResourceDefinitionVersion, at: string): FieldCause[] {
  const { deprecated = false, deprecationWarning: text } = version;
  if (text === undefined) return [];
  const problems: string[] = [];
  if (!deprecated) problems.push("can only be set for deprecated versions");
  else {
    if (text.length > 256) problems.push("must be <= 256 characters long");
    if (text === "") problems.push("must not be an empty string");
    const index = Array.from(text).findIndex((each) => /\p{C}/u.test(each));
    if (index >= 0) {
      const rule = "must only contain printable UTF-8 characters";
      problems.push(`${rule}; non-printable character found at index ${index}`);
    }
  }
  return problems.map((problem) => invalid(`${at}.deprecationWarning`, text, problem));
}

/** The parts of versions, each where upstream would have it. */
function validateParts(versions: readonly CustomResourceDefinitionVersion[]): FieldCause[] {
  const causes: FieldCause[] = [];
  const [first = {}] = versions;
  const alike = (part: keyof CustomResourceDefinitionVersion) =>
    versions.every((version) => equalJson(version[part], first[part]));
  const each = (
    part: keyof CustomResourceDefinitionVersion,
    common: string,
    own: string,
    check: (version: CustomResourceDefinitionVersion, path: string) => FieldCause[],
  ): void => {
    if (versions.length === 0) return;
    if (alike(part)) causes.push(...check(first, common));
    else {
      for (const [index, version] of versions.entries()) {
        causes.push(...check(version, `spec.versions[${index}].${own}`));
      }
    }
  };
  each("schema", "spec.validation", "schema", ({ schema, subresources }, path) => {
    if (schema?.openAPIV3Schema === undefined) return [];
    const at = `${path}.openAPIV3Schema`;
    return [
      ...validateRoot(schema.openAPIV3Schema, subresources?.status !== undefined, at),
      ...compiledSchema(schema.openAPIV3Schema).problems(at),
    ];
  });
  each("subresources", "spec.subresources", "subresources", ({ subresources }, path) =>
    subresources?.scale === undefined ? [] : validateScale(subresources.scale, path),
  );
  const columns = "additionalPrinterColumns";
  each(columns, `spec.${columns}`, columns, (version, path) =>
    validateColumns(version.additionalPrinterColumns ?? [], path),
  );
  each("selectableFields", "spec.selectableFields", "selectableFields", (version, path) =>
    validateSelectableFields(
      version.selectableFields ?? [],
      compiledSchema(version.schema?.openAPIV3Schema).node,
      path,
    ),
  );
  return causes;
}

/** What may stand at the root of a schema whose status is written apart. */
const rootFields = [
  "Description",
  "Type",
  "Format",
  "Title",
  "Maximum",
  "ExclusiveMaximum",
  "Minimum",
  "ExclusiveMinimum",
  "MaxLength",
  "MinLength",
  "Pattern",
  "MaxItems",
  "MinItems",
  "UniqueItems",
  "MultipleOf",
  "Required",
  "Items",
  "Properties",
  "ExternalDocs",
  "Example",
  "XPreserveUnknownFields",
  "XValidations",
];

const allowedAtRoot: ReadonlySet<string> = new Set([
  ...rootFields.slice(0, -2).map((name) => `${name.slice(0, 1).toLowerCase()}${name.slice(1)}`),
  "x-kubernetes-preserve-unknown-fields",
  "x-kubernetes-validations",
  "nullable",
]);

function validateRoot(schema: object, statusApart: boolean, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  const { type, nullable } = schema as { type?: unknown; nullable?: unknown };
  if (statusApart && type !== undefined && type !== "" && type !== "object") {
    const detail =
      'only "object" is allowed as the type at the root of the schema if the status subresource ' +
      "is enabled";
    causes.push(invalid(`${at}.type`, type, detail));
  }
  if (statusApart && Object.keys(schema).some((name) => !allowedAtRoot.has(name))) {
    const detail =
      `only [${rootFields.join(" ")}] fields are allowed at the root of the schema if the status ` +
      "subresource is enabled";
    causes.push(invalid(at, "", detail));
  }
  if (nullable === true) {
    causes.push(forbidden(`${at}.nullable`, "nullable cannot be true at the root"));
  }
  return causes;
}

const approval = "api-approved.kubernetes.io";
const approvalHelp = "see https://github.com/kubernetes/enhancements/pull/1111";

/** Groups of the community are not anyone's to use without saying why. */
function validateApproval({ metadata, spec }: CustomResourceDefinition): FieldCause[] {
  const group = spec?.group ?? "";
  if (!/(^|\.)(k8s|kubernetes)\.io$/.test(group)) return [];
  const field = `metadata.annotations[${approval}]`;
  const value = metadata?.annotations?.[approval] ?? "";
  const rule = `protected groups must have approval annotation "${approval}"`;
  if (value === "") return [required(field, `${rule}, ${approvalHelp}`)];
  if (value.startsWith("unapproved") || URL.canParse(value)) return [];
  const detail = `${rule} with either a URL or a reason starting with "unapproved", ${approvalHelp}`;
  return [invalid(field, value, detail)];
}

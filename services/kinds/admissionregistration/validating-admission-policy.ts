import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  type AuditAnnotation,
  type ParamKind,
  ValidatingAdmissionPoliciesService,
  ValidatingAdmissionPolicy,
  type ValidatingAdmissionPolicySpec,
  type ValidatingAdmissionPolicyStatus,
  type Validation,
  type Variable,
} from "../../../proto/gen/admissionregistration.ts";
import { oneOf } from "../core/pod/field-checks.ts";
import { duplicate, invalid, required } from "../machinery/causes.ts";
import {
  AdmissionCompiler,
  type AdmissionScope,
  expressionProblems,
} from "../machinery/cel/admission.ts";
import { isCelIdentifier } from "../machinery/cel-syntax.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { wrong } from "../machinery/field-rules.ts";
import { checkQualifiedName, checkServiceName, checkSubdomain } from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";
import { failurePolicies, setMatchDefaults, validateConditions, validateMatch } from "./rules.ts";

const annotationsMax = 20;
const valueExpressionBytesMax = 5 * 1_024;
const reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge"];

const specOf = (document: Document): ValidatingAdmissionPolicySpec =>
  (document as ValidatingAdmissionPolicy).spec ?? {};

export const validatingAdmissionPolicy = defineKind({
  message: "trireme.admissionregistration.v1.ValidatingAdmissionPolicy",
  codec: ValidatingAdmissionPolicy,
  service: ValidatingAdmissionPoliciesService,
  allowUnconditionalUpdate: false,
  categories: ["api-extensions"],

  setDefaults(document) {
    const policy = document as ValidatingAdmissionPolicy;
    policy.spec ??= {};
    policy.spec.failurePolicy ??= "Fail";
    if (policy.spec.matchConstraints !== undefined) setMatchDefaults(policy.spec.matchConstraints);
    policy.status ??= {};
  },
  validate(document) {
    const { metadata, status = {} } = document as ValidatingAdmissionPolicy;
    return [...validateSpec(specOf(document), metadata?.name ?? ""), ...validateStatus(status)];
  },
  columns: [
    nameColumn,
    {
      name: "Validations",
      type: "integer",
      value: (document) => `${specOf(document).validations?.length ?? 0}`,
    },
    { name: "ParamKind", value: (document) => kindText(specOf(document).paramKind) },
    ageColumn,
  ],
});

function kindText(kind: ParamKind | undefined): string {
  return kind === undefined ? "<unset>" : `${kind.apiVersion ?? ""}/${kind.kind ?? ""}`;
}

function validateSpec(spec: ValidatingAdmissionPolicySpec, name: string): FieldCause[] {
  const { paramKind, matchConstraints: match, matchConditions = [], variables = [] } = spec;
  const causes = oneOf(spec.failurePolicy, failurePolicies, "spec.failurePolicy");
  if (paramKind !== undefined) causes.push(...validateParamKind(paramKind, "spec.paramKind"));
  if (match === undefined) causes.push(required("spec.matchConstraints"));
  else {
    causes.push(...validateMatch(match, "spec.matchConstraints"));
    // Without a rule nothing says of which type the objects are.
    if ((match.resourceRules ?? []).length === 0) {
      causes.push(required("spec.matchConstraints.resourceRules"));
    }
  }
  const scope = { params: paramKind !== undefined, namespaceObject: true, authorizer: true };
  const known = new Map<string, string>();
  return [
    ...causes,
    ...validateConditions(matchConditions, "spec.matchConditions", scope),
    ...variables.flatMap((one, index) =>
      validateVariable(one, `spec.variables[${index}]`, scope, known),
    ),
    ...validateChecks(spec, name, { ...scope, variables: known }),
  ];
}

function validateChecks(
  spec: ValidatingAdmissionPolicySpec,
  name: string,
  scope: AdmissionScope,
): FieldCause[] {
  const { validations = [], auditAnnotations = [] } = spec;
  if (validations.length + auditAnnotations.length === 0) {
    const detail = "validations or auditAnnotations must contain at least one item";
    return [required("spec.validations", detail), required("spec.auditAnnotations", detail)];
  }
  const causes = validations.flatMap((one, index) =>
    validateValidation(one, `spec.validations[${index}]`, scope),
  );
  if (auditAnnotations.length > annotationsMax) {
    const detail = `must not have more than ${annotationsMax} auditAnnotations`;
    // The value that the message shows is upstream's, with its names for the fields.
    const shown = auditAnnotations.map(({ key = "", valueExpression = "" }) => ({
      Key: key,
      ValueExpression: valueExpression,
    }));
    causes.push(invalid("spec.auditAnnotations", shown, detail));
  }
  const keys = new Set<string>();
  auditAnnotations.forEach((annotation, index) => {
    const at = `spec.auditAnnotations[${index}]`;
    const { key = "" } = annotation;
    causes.push(...validateAnnotation(annotation, name, at, scope));
    if (keys.has(key)) causes.push(duplicate(`${at}.key`, key));
    keys.add(key);
  });
  return causes;
}

function validateParamKind({ apiVersion = "", kind = "" }: ParamKind, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  const field = `${at}.apiVersion`;
  const parts = apiVersion.split("/");
  const [group, version] = parts.length === 1 ? ["", apiVersion] : [parts[0] ?? "", parts[1] ?? ""];
  if (apiVersion === "") causes.push(required(field));
  else if (parts.length > 2) {
    const detail = `unexpected GroupVersion string: ${apiVersion}`;
    causes.push(invalid(field, apiVersion, detail));
  } else {
    if (group !== "") causes.push(...joined(field, group, checkSubdomain(group)));
    if (version === "") causes.push(invalid(field, apiVersion, "version must be specified"));
    else causes.push(...joined(field, version, checkServiceName(version)));
  }
  if (kind === "") return [...causes, required(`${at}.kind`)];
  const problems = checkServiceName(kind.toLowerCase());
  if (problems.length === 0) return causes;
  const detail = `may have mixed case, but should otherwise match: ${problems.join(",")}`;
  return [...causes, invalid(`${at}.kind`, kind, detail)];
}

function joined(field: string, value: string, problems: readonly string[]): FieldCause[] {
  return problems.length === 0 ? [] : [invalid(field, value, problems.join(","))];
}

/** Notes the variable's type in `known`, for what comes after it. */
function validateVariable(
  { name = "", expression = "" }: Variable,
  at: string,
  scope: AdmissionScope,
  known: Map<string, string>,
): FieldCause[] {
  const causes: FieldCause[] = [];
  if (name.trim() === "") causes.push(required(`${at}.name`, "name is not specified"));
  else if (!isCelIdentifier(name)) {
    causes.push(invalid(`${at}.name`, name, "must be a valid CEL identifier"));
  }
  const field = `${at}.expression`;
  if (expression.trim() === "") return [...causes, required(field, "expression is not specified")];
  try {
    const compiler = new AdmissionCompiler({ ...scope, variables: new Map(known) });
    known.set(name, compiler.compile(expression).type);
  } catch (thrown) {
    causes.push(
      invalid(field, expression, thrown instanceof Error ? thrown.message : String(thrown)),
    );
    // What reads it is not blamed for that.
    known.set(name, "dyn");
  }
  return causes;
}

function validateExpression(
  text: string,
  field: string,
  noun: string,
  scope: AdmissionScope,
  types: readonly string[],
): FieldCause[] {
  if (text.trim() === "") return [required(field, `${noun} is not specified`)];
  return wrong(field, text, expressionProblems(scope, text, types));
}

function validateValidation(one: Validation, at: string, scope: AdmissionScope): FieldCause[] {
  const { expression = "", message = "", messageExpression = "", reason } = one;
  const causes = validateExpression(expression, `${at}.expression`, "expression", scope, ["bool"]);
  const field = `${at}.messageExpression`;
  if (messageExpression !== "" && messageExpression.trim() === "") {
    causes.push(invalid(field, messageExpression, "must be non-empty if specified"));
  } else if (messageExpression !== "") {
    const problems = expressionProblems({ ...scope, authorizer: false }, messageExpression, [
      "string",
    ]);
    causes.push(...wrong(field, messageExpression, problems));
  }
  if (message !== "" && message.trim() === "") {
    causes.push(invalid(`${at}.message`, message, "must be non-empty if specified"));
  } else if (/[\n\r]/.test(message.trim())) {
    causes.push(invalid(`${at}.message`, message, "must not contain line breaks"));
  }
  return [...causes, ...oneOf(reason, reasons, `${at}.reason`)];
}

function validateAnnotation(
  { key = "", valueExpression = "" }: AuditAnnotation,
  name: string,
  at: string,
  scope: AdmissionScope,
): FieldCause[] {
  const full = `${name}/${key}`;
  const causes =
    name === ""
      ? [invalid(`${at}.key`, key, "requires metadata.name be non-empty")]
      : wrong(`${at}.key`, full, checkQualifiedName(full));
  const field = `${at}.valueExpression`;
  if (Buffer.byteLength(valueExpression.trim()) > valueExpressionBytesMax) {
    const detail = `must not exceed ${valueExpressionBytesMax} bytes in length`;
    return [...causes, required(field, detail)];
  }
  const types = ["string", "null"];
  return [
    ...causes,
    ...validateExpression(valueExpression, field, "valueExpression", scope, types),
  ];
}

function validateStatus({ typeChecking }: ValidatingAdmissionPolicyStatus): FieldCause[] {
  return (typeChecking?.expressionWarnings ?? []).flatMap(
    ({ fieldRef = "", warning = "" }, index) => {
      const at = `status.typeChecking.expressionWarnings[${index}]`;
      return [
        ...(warning === "" ? [required(`${at}.warning`)] : []),
        ...(fieldRef.trim() === "" ? [required(`${at}.fieldRef`)] : []),
      ];
    },
  );
}

import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  type ParamRef,
  ValidatingAdmissionPolicyBinding,
  type ValidatingAdmissionPolicyBindingSpec,
  ValidatingAdmissionPolicyBindingsService,
} from "../../../proto/gen/admissionregistration.ts";
import { oneOf } from "../core/pod/field-checks.ts";
import {
  duplicate,
  forbidden,
  invalid,
  notSupportedInOrder,
  required,
} from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { wrong } from "../machinery/field-rules.ts";
import { allButMetadata } from "../machinery/generation.ts";
import { selectorOf, validateLabelSelector } from "../machinery/label-selector.ts";
import { checkPathSegment, checkSubdomain } from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";
import { formatSelector } from "../machinery/selectors.ts";
import { setMatchDefaults, validateMatch } from "./rules.ts";

const actionNames = ["Audit", "Deny", "Warn"];

const specOf = (document: Document): ValidatingAdmissionPolicyBindingSpec =>
  (document as ValidatingAdmissionPolicyBinding).spec ?? {};

export const validatingAdmissionPolicyBinding = defineKind({
  message: "trireme.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
  codec: ValidatingAdmissionPolicyBinding,
  service: ValidatingAdmissionPolicyBindingsService,
  allowUnconditionalUpdate: false,
  categories: ["api-extensions"],

  setDefaults(document) {
    const { matchResources } = specOf(document);
    if (matchResources !== undefined) setMatchDefaults(matchResources);
  },
  desiredState: allButMetadata,
  validate(document) {
    const { policyName = "", paramRef, matchResources, validationActions } = specOf(document);
    return [
      ...(policyName === ""
        ? [required("spec.policyName")]
        : wrong("spec.policyName", policyName, checkSubdomain(policyName))),
      ...(paramRef === undefined ? [] : validateParamRef(paramRef, "spec.paramRef")),
      ...(matchResources === undefined ? [] : validateMatch(matchResources, "spec.matchResources")),
      ...validateActions(validationActions ?? [], "spec.validationActions"),
    ];
  },
  columns: [
    nameColumn,
    { name: "PolicyName", value: (document) => specOf(document).policyName ?? "" },
    { name: "ParamRef", value: (document) => paramText(specOf(document).paramRef) },
    ageColumn,
  ],
});

/** Whether the parameters are namespaced is not known here, hence the star. */
function paramText(ref: ParamRef | undefined): string {
  if (ref?.name) return `${ref.namespace || "*"}/${ref.name}`;
  if (ref?.selector === undefined) return "<unset>";
  return formatSelector(selectorOf(ref.selector));
}

function validateParamRef(ref: ParamRef, at: string): FieldCause[] {
  const { name = "", selector, parameterNotFoundAction: action = "" } = ref;
  const both = name !== "" && selector !== undefined;
  const exclusive = "name and selector are mutually exclusive";
  const causes = name === "" ? [] : wrong(`${at}.name`, name, checkPathSegment(name));
  if (both) causes.push(forbidden(`${at}.name`, exclusive));
  if (selector !== undefined) {
    causes.push(...validateLabelSelector(selector, `${at}.selector`));
  } else if (name === "") {
    causes.push(required(at, "one of name or selector must be specified"));
  }
  if (both) causes.push(forbidden(`${at}.selector`, exclusive));
  const field = `${at}.parameterNotFoundAction`;
  if (action === "") return [...causes, required(field)];
  const known = ["Deny", "Allow"];
  return known.includes(action) ? causes : [...causes, notSupportedInOrder(field, action, known)];
}

function validateActions(actions: readonly string[], field: string): FieldCause[] {
  const causes = actions.flatMap((action, index) => [
    ...oneOf(action, actionNames, `${field}[${index}]`),
    ...(actions.indexOf(action) < index ? [duplicate(`${field}[${index}]`, action)] : []),
  ]);
  if (actions.includes("Deny") && actions.includes("Warn")) {
    const detail =
      "must not contain both Deny and Warn (repeating the same validation failure information in " +
      "the API response and headers serves no purpose)";
    causes.push(invalid(field, actions, detail));
  }
  if (actions.length > 0) return causes;
  return [...causes, required(field, "at least one validation action is required")];
}

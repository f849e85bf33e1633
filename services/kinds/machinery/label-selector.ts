/** LabelSelector objects, as they stand in specs (apimachinery `meta/v1/validation`). */
import { Code, type FieldCause, StatusError } from "../../../ha/runtime/status-error.ts";
import type { LabelSelector, LabelSelectorRequirement } from "../../../proto/gen/meta.ts";
import { forbidden, invalid, required } from "./causes.ts";
import { validateLabels } from "./metadata.ts";
import { checkLabelValue, checkQualifiedName } from "./names.ts";
import type { Requirement, Selector } from "./selectors.ts";

const operators: Readonly<Record<string, Requirement["operator"]>> = {
  In: "in",
  NotIn: "notin",
  Exists: "exists",
  DoesNotExist: "!",
};

/** What a LabelSelector selects: absent nothing, empty everything (upstream's rule). */
export function selectorOf(selector: LabelSelector | undefined): Selector {
  if (selector === undefined) return { requirements: [], matchesNothing: true };
  const requirements: Requirement[] = Object.entries(selector.matchLabels ?? {}).map(
    ([key, value]) => ({ key, operator: "=", values: [value] }),
  );
  for (const { key = "", operator = "", values = [] } of selector.matchExpressions ?? []) {
    const meant = Object.hasOwn(operators, operator) ? operators[operator] : undefined;
    if (meant === undefined) {
      const message = `${JSON.stringify(operator)} is not a valid label selector operator`;
      throw new StatusError(Code.invalidArgument, message, { reason: "BadRequest" });
    }
    requirements.push({ key, operator: meant, values });
  }
  return { requirements };
}

/** The selector as upstream's messages show it. */
export function shownSelector(selector: LabelSelector): LabelSelector {
  const { matchLabels = {}, matchExpressions = [] } = selector;
  const labels = Object.entries(matchLabels).sort(([one], [other]) => (one < other ? -1 : 1));
  return {
    ...(labels.length > 0 && { matchLabels: Object.fromEntries(labels) }),
    ...(matchExpressions.length > 0 && {
      matchExpressions: matchExpressions.map(({ key = "", operator = "", values = [] }) => ({
        key,
        operator,
        ...(values.length > 0 && { values }),
      })),
    }),
  } as LabelSelector;
}

/** `path`: of the selector in its document, e.g. `spec.selector`. */
export function validateLabelSelector(selector: LabelSelector, path: string): FieldCause[] {
  const causes = validateLabels(selector.matchLabels, `${path}.matchLabels`);
  selector.matchExpressions?.forEach((expression, index) => {
    causes.push(...validateExpression(expression, `${path}.matchExpressions[${index}]`));
  });
  return causes;
}

function validateExpression(expression: LabelSelectorRequirement, path: string): FieldCause[] {
  const { key = "", operator = "", values = [] } = expression;
  const causes: FieldCause[] = [];
  if (operator === "In" || operator === "NotIn") {
    const detail = "must be specified when `operator` is 'In' or 'NotIn'";
    if (values.length === 0) causes.push(required(`${path}.values`, detail));
  } else if (operator === "Exists" || operator === "DoesNotExist") {
    const detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
    if (values.length > 0) causes.push(forbidden(`${path}.values`, detail));
  } else {
    causes.push(invalid(`${path}.operator`, operator, "not a valid selector operator"));
  }
  for (const problem of checkQualifiedName(key)) causes.push(invalid(`${path}.key`, key, problem));
  values.forEach((value, index) => {
    for (const problem of checkLabelValue(value)) {
      causes.push(invalid(`${path}.values[${index}]`, value, problem));
    }
  });
  return causes;
}

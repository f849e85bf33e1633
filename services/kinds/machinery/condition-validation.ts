/** Conditions that clients write (apimachinery `meta/v1/validation.ValidateConditions`). */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { Condition } from "../../../proto/gen/meta.ts";
import { duplicate, invalid, notSupported, required, tooLong } from "./causes.ts";
import { checkQualifiedName } from "./names.ts";

const reasonPattern = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?";
const reasonLengthMax = 1_024;
const messageLengthMax = 32_768;

export function validateConditions(conditions: readonly Condition[], path: string): FieldCause[] {
  const seen = new Set<string>();
  return conditions.flatMap((condition, index) => {
    const at = `${path}[${index}]`;
    const { type = "" } = condition;
    const causes = seen.has(type) ? [duplicate(`${at}.type`, type)] : [];
    seen.add(type);
    return [...causes, ...validateCondition(condition, at)];
  });
}

function validateCondition(condition: Condition, path: string): FieldCause[] {
  const { type = "", status = "", observedGeneration = 0, reason = "", message = "" } = condition;
  const causes = checkQualifiedName(type).map((problem) => invalid(`${path}.type`, type, problem));
  const statuses = ["False", "True", "Unknown"];
  if (!statuses.includes(status)) causes.push(notSupported(`${path}.status`, status, statuses));
  if (observedGeneration < 0) {
    const detail = "must be greater than or equal to zero";
    causes.push(invalid(`${path}.observedGeneration`, observedGeneration, detail));
  }
  if (!condition.lastTransitionTime) causes.push(required(`${path}.lastTransitionTime`));
  if (reason === "") causes.push(required(`${path}.reason`));
  else if (reason.length > reasonLengthMax) {
    causes.push(tooLong(`${path}.reason`, reasonLengthMax));
  } else if (!new RegExp(`^${reasonPattern}$`).test(reason)) {
    const detail =
      "a condition reason must start with alphabetic character, optionally followed by a string " +
      "of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' " +
      "(e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or " +
      `'ReasonA:ReasonB', regex used for validation is '${reasonPattern}')`;
    causes.push(invalid(`${path}.reason`, reason, detail));
  }
  if (Buffer.byteLength(message) > messageLengthMax) {
    causes.push(tooLong(`${path}.message`, messageLengthMax));
  }
  return causes;
}

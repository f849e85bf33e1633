/** Match conditions: further narrowing of what a webhook or a policy is about. */
import type { MatchCondition } from "../../../../proto/gen/admissionregistration.ts";
import { AdmissionCompiler, type AdmissionScope } from "../../../kinds/machinery/cel/admission.ts";
import type { Expression } from "../../../kinds/machinery/cel/compile.ts";
import type { Evaluation } from "./evaluation.ts";

export interface CompiledCondition {
  readonly name: string;
  readonly expression: Expression;
}

/** Throws an Error with what is wrong with one of them. */
export function compileConditions(
  conditions: readonly MatchCondition[] | undefined,
  scope: AdmissionScope,
): readonly CompiledCondition[] {
  if (conditions === undefined || conditions.length === 0) return [];
  const compiler = new AdmissionCompiler(scope);
  return conditions.map(({ name = "", expression = "" }) => ({
    name,
    expression: compiler.compile(expression, ["bool"]),
  }));
}

/**
 * Whether all hold. One that is false decides, whatever errors the others have; an error is told
 * only when none is false.
 */
export function holds(
  conditions: readonly CompiledCondition[],
  evaluation: Evaluation,
): { readonly matches: boolean; readonly error?: string } {
  const errors: string[] = [];
  for (const { name, expression } of conditions) {
    const outcome = evaluation.evaluate(expression);
    if ("error" in outcome) {
      errors.push(`matchCondition ${JSON.stringify(name)}: ${outcome.error}`);
    } else if (outcome.value !== true) return { matches: false };
  }
  return errors.length === 0
    ? { matches: true }
    : { matches: true, error: errors.length === 1 ? `${errors[0]}` : `[${errors.join(", ")}]` };
}

/** Evaluates one policy, as one binding has it, on one request (KEP-3488). */
import type { ValidatingAdmissionPolicySpec } from "../../../../proto/gen/admissionregistration.ts";
import { PolicyVariables } from "../../../kinds/machinery/cel/admission.ts";
import { plainValue } from "../../../kinds/machinery/cel/types.ts";
import type { Document } from "../../../kinds/mod.ts";
import type { CompiledPolicy } from "./compiled-policy.ts";
import { holds } from "./conditions.ts";
import type { Evaluation } from "./evaluation.ts";

/** Something that the policy has against the request. */
export interface Finding {
  readonly message: string;
  readonly reason: string | undefined;
  /** Which validation; undefined: the policy as a whole could not be evaluated. */
  readonly index: number | undefined;
}

export interface PolicyResult {
  readonly findings: readonly Finding[];
  readonly annotations: ReadonlyMap<string, string>;
}

const nothing: PolicyResult = { findings: [], annotations: new Map() };
const messageBytesMax = 5 * 1_024;
const annotationBytesMax = 10 * 1_024;

/** `params`: one parameter object; undefined: the policy has none. */
export function runPolicy(
  policy: CompiledPolicy,
  spec: ValidatingAdmissionPolicySpec,
  evaluation: Evaluation,
  params: Document | undefined,
): PolicyResult {
  const strict = spec.failurePolicy !== "Ignore";
  if (spec.paramKind !== undefined) evaluation.set("params", plainValue(params));
  const { matches, error } = holds(policy.conditions, evaluation);
  if (!matches) return nothing;
  if (error !== undefined) return strict ? failing(error) : nothing;
  evaluation.set("variables", variablesOf(policy, evaluation));
  const findings: Finding[] = [];
  policy.validations.forEach(({ definition, expression, message }, index) => {
    const text = (definition.expression ?? "").trim();
    const outcome = evaluation.evaluate(expression);
    if ("error" in outcome) {
      const why = `expression '${text}' resulted in error: ${outcome.error}`;
      if (strict) findings.push({ message: why, reason: undefined, index });
      return;
    }
    if (outcome.value === true) return;
    const made = message === undefined ? undefined : evaluation.evaluate(message);
    const said = made !== undefined && "value" in made ? usable(made.value) : undefined;
    const fixed = (definition.message ?? "").trim() || `failed expression: ${text}`;
    findings.push({ message: said ?? fixed, reason: definition.reason || undefined, index });
  });
  const annotations = new Map<string, string>();
  for (const { key, expression } of policy.annotations) {
    const outcome = evaluation.evaluate(expression);
    if ("error" in outcome) {
      const why = `audit annotation ${JSON.stringify(key)}: ${outcome.error}`;
      if (strict) findings.push({ message: why, reason: undefined, index: undefined });
    } else if (typeof outcome.value === "string" && outcome.value.trim() !== "") {
      annotations.set(key, outcome.value.trim().slice(0, annotationBytesMax));
    }
  }
  return { findings, annotations };
}

function failing(message: string): PolicyResult {
  return { ...nothing, findings: [{ message, reason: undefined, index: undefined }] };
}

/** A message that cannot be shown is replaced by the one that is always there. */
function usable(value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  const text = value.trim();
  if (text === "" || /[\n\r]/.test(text)) return undefined;
  return Buffer.byteLength(text) > messageBytesMax ? undefined : text;
}

/** Each is computed when it is first read, once per request. */
function variablesOf({ variables }: CompiledPolicy, evaluation: Evaluation): PolicyVariables {
  const values = new PolicyVariables();
  for (const { name, expression } of variables) {
    let outcome: ReturnType<Evaluation["evaluate"]> | undefined;
    Object.defineProperty(values, name, {
      enumerable: true,
      get() {
        outcome ??= evaluation.evaluate(expression);
        if ("error" in outcome) {
          throw new Error(`composited variable ${JSON.stringify(name)} fails: ${outcome.error}`);
        }
        return outcome.value;
      },
    });
  }
  return values;
}

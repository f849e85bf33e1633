/** A ValidatingAdmissionPolicy, compiled: once per revision of it. */
import type {
  ValidatingAdmissionPolicySpec,
  Validation,
} from "../../../../proto/gen/admissionregistration.ts";
import { AdmissionCompiler, type AdmissionScope } from "../../../kinds/machinery/cel/admission.ts";
import type { Expression } from "../../../kinds/machinery/cel/compile.ts";
import { memoized } from "../../../kinds/machinery/cel/memo.ts";
import type { Document } from "../../../kinds/mod.ts";
import { type CompiledCondition, compileConditions } from "./conditions.ts";

interface CompiledValidation {
  readonly definition: Validation;
  readonly expression: Expression;
  readonly message: Expression | undefined;
}

export interface CompiledPolicy {
  readonly conditions: readonly CompiledCondition[];
  readonly variables: readonly { readonly name: string; readonly expression: Expression }[];
  readonly validations: readonly CompiledValidation[];
  readonly annotations: readonly { readonly key: string; readonly expression: Expression }[];
}

/** Why the policy cannot be evaluated at all. */
interface Broken {
  readonly problem: string;
}

export const compiledPolicy: (policy: Document) => CompiledPolicy | Broken = memoized((policy) => {
  try {
    return compile((policy["spec"] ?? {}) as ValidatingAdmissionPolicySpec);
  } catch (thrown) {
    // Validation refuses such a policy: it was stored by an older release.
    return { problem: thrown instanceof Error ? thrown.message : String(thrown) };
  }
});

function compile(spec: ValidatingAdmissionPolicySpec): CompiledPolicy {
  const scope = { params: spec.paramKind !== undefined, namespaceObject: true, authorizer: true };
  const known = new Map<string, string>();
  const variables = (spec.variables ?? []).map(({ name = "", expression = "" }) => {
    const compiled = new AdmissionCompiler({ ...scope, variables: new Map(known) });
    const one = { name, expression: compiled.compile(expression) };
    known.set(name, one.expression.type);
    return one;
  });
  const all: AdmissionScope = { ...scope, variables: known };
  const checks = new AdmissionCompiler(all);
  const messages = new AdmissionCompiler({ ...all, authorizer: false });
  return {
    conditions: compileConditions(spec.matchConditions, scope),
    variables,
    validations: (spec.validations ?? []).map((definition) => ({
      definition,
      expression: checks.compile(definition.expression ?? "", ["bool"]),
      message: definition.messageExpression
        ? messages.compile(definition.messageExpression, ["string"])
        : undefined,
    })),
    annotations: (spec.auditAnnotations ?? []).map(({ key = "", valueExpression = "" }) => ({
      key,
      expression: checks.compile(valueExpression, ["string", "null"]),
    })),
  };
}

/** The rules of a schema, compiled: each with the types of the part of the schema at which it is. */

import type { SchemaNode } from "../structural/node.ts";
import type { ValidationRule } from "../structural/props.ts";
import { compileExpression, type Expression } from "./compile.ts";
import { type CelEnvironment, celEnvironment } from "./environment.ts";
import { memoized } from "./memo.ts";
import { SchemaTypes } from "./types.ts";

export interface CompiledRule {
  readonly definition: ValidationRule;
  /** What is wrong with the rule or its messageExpression; undefined: nothing. */
  readonly problem: string | undefined;
  readonly messageProblem: string | undefined;
  readonly expression: Expression | undefined;
  readonly message: Expression | undefined;
  /** It reads oldSelf: it is about a change. */
  readonly transition: boolean;
}

export interface RuleSet {
  readonly types: SchemaTypes;
  rulesOf(node: SchemaNode): readonly CompiledRule[];
}

/** Compiles the rules of a schema when they are first needed. */
export const ruleSetOf: (root: SchemaNode) => RuleSet = memoized((root) => {
  const environment = celEnvironment();
  const types = new SchemaTypes(environment, root);
  declareAll(types, root);
  return {
    types,
    rulesOf: memoized((node) => {
      const self = types.selfTypeOf(node);
      return (node.props["x-kubernetes-validations"] ?? []).map((definition) =>
        compileRule(environment, self, definition),
      );
    }),
  };
});

/** Before the environment is first cloned, after which it takes no more types. */
function declareAll(types: SchemaTypes, node: SchemaNode): void {
  if (!node.rules) return;
  if ((node.props["x-kubernetes-validations"] ?? []).length > 0) types.typeOf(node);
  for (const property of node.properties.values()) declareAll(types, property);
  if (node.items !== undefined) declareAll(types, node.items);
  if (typeof node.additional === "object") declareAll(types, node.additional);
}

function compileRule(
  environment: CelEnvironment,
  self: string,
  definition: ValidationRule,
): CompiledRule {
  const { rule = "", messageExpression = "", optionalOldSelf = false } = definition;
  const own = environment
    .clone()
    .registerVariable("self", self)
    .registerVariable("oldSelf", optionalOldSelf ? `optional<${self}>` : self);
  const [expression, problem] = attempt(own, rule, "bool");
  const [message, messageProblem] =
    messageExpression.trim() === ""
      ? [undefined, undefined]
      : attempt(own, messageExpression, "string");
  const transition = expression?.reads.has("oldSelf") ?? false;
  return { definition, expression, problem, message, messageProblem, transition };
}

function attempt(
  environment: CelEnvironment,
  text: string,
  type: "bool" | "string",
): [Expression | undefined, string | undefined] {
  try {
    const expression = compileExpression(environment, text);
    if (expression.type === type || expression.type === "dyn") return [expression, undefined];
    const what = type === "bool" ? "cel expression" : "messageExpression";
    return [undefined, `${what} must evaluate to a ${type}`];
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return [undefined, type === "bool" ? message : `messageExpression ${message}`];
  }
}

/** x-kubernetes-validations: the rules of a schema, evaluated on an object (KEP-2876). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import { duplicate, forbidden, invalid, required } from "../causes.ts";
import { canonicalJson, equalJson, isObject } from "../json.ts";
import { limits } from "../limits.ts";
import { mapKeyOf, type SchemaNode } from "../structural/node.ts";
import { Budget } from "./budget.ts";
import { type CompiledRule, type RuleSet, ruleSetOf } from "./rule-set.ts";
import { optionalOf } from "./values.ts";

/** Steps of one rule, and of all rules of an object: a few hundred milliseconds at the worst. */
const ruleSteps = 500_000;
const objectSteps = 1_500_000;

/**
 * What rules say against an object; `stored` is what it replaces. Rules that hold of what is there
 * are not asked about parts that stay as they were.
 */
export function evaluateRules(root: SchemaNode, next: unknown, stored: unknown): FieldCause[] {
  if (!root.rules) return [];
  const run = new Run(ruleSetOf(root));
  run.visit(root, { value: next, old: stored, path: "" });
  return run.causes;
}

/** A value and the one that it replaces (undefined: none), at a path. */
interface Place {
  readonly value: unknown;
  readonly old: unknown;
  readonly path: string;
}

class Run {
  readonly causes: FieldCause[] = [];
  readonly #rules: RuleSet;
  #left = objectSteps;
  #ended = false;

  constructor(rules: RuleSet) {
    this.#rules = rules;
  }

  visit(node: SchemaNode, place: Place): void {
    const { value, old, path } = place;
    if (!node.rules || value === null || value === undefined) return;
    this.#evaluate(node, place);
    if (Array.isArray(value)) this.#visitItems(node, value, place);
    else if (isObject(value)) {
      const before = isObject(old) ? old : {};
      for (const name of Object.keys(value)) {
        const property = node.properties.get(name);
        const child =
          property ?? (typeof node.additional === "object" ? node.additional : undefined);
        if (child === undefined) continue;
        const joined = path === "" ? name : `${path}.${name}`;
        this.visit(child, {
          value: value[name],
          old: Object.hasOwn(before, name) ? before[name] : undefined,
          path: property === undefined ? `${path}[${name}]` : joined,
        });
      }
    }
  }

  #visitItems(node: SchemaNode, value: readonly unknown[], { old, path }: Place): void {
    const { items } = node;
    if (items === undefined || !items.rules) return;
    const before = node.listType === "map" && Array.isArray(old) ? byKey(node, old) : undefined;
    for (const [index, each] of value.entries()) {
      const key = before && isObject(each) ? canonicalJson(mapKeyOf(node, each)) : "";
      this.visit(items, { value: each, old: before?.get(key), path: `${path}[${index}]` });
    }
  }

  #evaluate(node: SchemaNode, place: Place): void {
    const rules = this.#rules.rulesOf(node);
    if (rules.length === 0) return;
    const { value, old } = place;
    const unchanged = old !== undefined && equalJson(value, old);
    const { types } = this.#rules;
    const self = types.valueOf(node, value);
    const oldSelf = old === undefined || old === null ? undefined : types.valueOf(node, old);
    for (const rule of rules) {
      if (this.#ended || this.causes.length >= limits.errors) return;
      const optional = rule.definition.optionalOldSelf === true;
      if (rule.transition ? oldSelf === undefined && !optional : unchanged) continue;
      const shown = optional ? optionalOf(oldSelf) : oldSelf;
      const variables = { self, ...(shown !== undefined && { oldSelf: shown }) };
      const cause = this.#causeOf(rule, node, variables, place);
      if (cause !== undefined) this.causes.push(cause);
    }
  }

  #causeOf(
    rule: CompiledRule,
    node: SchemaNode,
    variables: Readonly<Record<string, unknown>>,
    { value, path }: Place,
  ): FieldCause | undefined {
    const { expression, definition } = rule;
    const text = (definition.rule ?? "").trim();
    const named = definition.message?.trim() || text;
    const type = node.props.type ?? "";
    const at = path === "" ? "<nil>" : path;
    if (expression === undefined) {
      return invalid(at, type, `rule compile error: ${rule.problem ?? text}`);
    }
    const budget = new Budget(Math.min(ruleSteps, this.#left));
    const granted = budget.left;
    let holds: unknown;
    let failure: string | undefined;
    try {
      holds = expression.evaluate(variables, budget);
    } catch (thrown) {
      failure = thrown instanceof Error ? thrown.message : String(thrown);
    }
    this.#left -= granted - Math.max(budget.left, 0);
    if (budget.exceeded) {
      this.#ended = true;
      const limit = "operation cancelled: actual cost limit exceeded";
      const rest =
        "no further validation rules will be run due to call cost exceeds limit for rule";
      return invalid(at, type, `'${limit}': ${rest}: ${text}`);
    }
    if (failure?.startsWith("no such overload")) {
      const rest = "call arguments did not match a supported operator, function or macro signature";
      return invalid(at, type, `'${failure}': ${rest} for rule: ${text}`);
    }
    if (failure !== undefined) return invalid(at, type, `${failure} evaluating rule: ${named}`);
    if (holds === true) return undefined;
    return causeFor(
      rule,
      fieldOf(path, definition.fieldPath),
      type,
      value,
      this.#messageOf(rule, variables),
    );
  }

  #messageOf(rule: CompiledRule, variables: Readonly<Record<string, unknown>>): string {
    const { definition, message } = rule;
    const fixed = definition.message?.trim() || `failed rule: ${(definition.rule ?? "").trim()}`;
    if (message === undefined) return fixed;
    try {
      const text = message.evaluate(variables, new Budget(ruleSteps));
      const usable = typeof text === "string" && text.trim() !== "" && !/[\n\r]/.test(text);
      return usable && text.length <= messageLengthMax ? text.trim() : fixed;
    } catch {
      // As upstream: a message that cannot be made is replaced by the one that is always there.
      return fixed;
    }
  }
}

const messageLengthMax = 5_120;

function byKey(node: SchemaNode, list: readonly unknown[]): Map<string, unknown> {
  const elements = new Map<string, unknown>();
  for (const each of list) {
    if (isObject(each)) elements.set(canonicalJson(mapKeyOf(node, each)), each);
  }
  return elements;
}

function fieldOf(path: string, fieldPath = ""): string {
  const relative = fieldPath.trim();
  const joined = `${path}${relative}`.replace(/^\./, "");
  return joined === "" ? "<nil>" : joined;
}

function causeFor(
  { definition }: CompiledRule,
  field: string,
  type: string,
  value: unknown,
  detail: string,
): FieldCause {
  switch (definition.reason) {
    case "FieldValueForbidden":
      return forbidden(field, detail);
    case "FieldValueRequired":
      return required(field, detail);
    case "FieldValueDuplicate":
      return duplicate(field, isObject(value) || Array.isArray(value) ? type : value);
    default:
      return invalid(field, type, detail);
  }
}

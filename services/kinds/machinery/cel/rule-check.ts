/** The rules of a schema, when the schema is defined: their texts, types and costs. */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import { forbidden, invalid, notSupportedInOrder, required } from "../causes.ts";
import { limits } from "../limits.ts";
import type { SchemaNode } from "../structural/node.ts";
import type { ValidationRule } from "../structural/props.ts";
import { costMessage, expressionCost, ruleCostMax, schemaCostMax, sizesOf } from "./cost.ts";
import { type CompiledRule, type RuleSet, ruleSetOf } from "./rule-set.ts";

export function checkRules(root: SchemaNode, path: string): FieldCause[] {
  if (!root.rules) return [];
  const check = new Check(ruleSetOf(root));
  check.visit(root, { path, times: 1, uncorrelatable: undefined });
  return [...check.causes, ...check.totalCauses(path)].slice(0, limits.errors);
}

interface Place {
  readonly path: string;
  /** How many values there may be here in one object; infinite: as many as fit into a request. */
  readonly times: number;
  /** The list above whose elements have no counterpart in the object that is replaced. */
  readonly uncorrelatable: string | undefined;
}

class Check {
  readonly causes: FieldCause[] = [];
  readonly #rules: RuleSet;
  readonly #costs: { readonly path: string; readonly cost: number }[] = [];

  constructor(rules: RuleSet) {
    this.#rules = rules;
  }

  visit(node: SchemaNode, place: Place): void {
    if (!node.rules) return;
    const { path, times, uncorrelatable } = place;
    const at = (index: number) => `${path}.x-kubernetes-validations[${index}]`;
    const rules = node.props["x-kubernetes-validations"] ?? [];
    const problems = rules.flatMap((rule, index) => textProblems(node, rule, at(index)));
    this.causes.push(...problems);
    // What is broken here or below keeps the expressions here from being compiled.
    if (problems.length === 0 && !brokenBelow(node)) {
      for (const [index, rule] of this.#rules.rulesOf(node).entries()) {
        this.#check(node, rule, at(index), place);
      }
    }
    for (const [name, property] of node.properties) {
      this.visit(property, { ...place, path: `${path}.properties[${name}]` });
    }
    const most = sizesOf(node).bound;
    if (node.items !== undefined) {
      const lost = node.listType === "map" ? uncorrelatable : (uncorrelatable ?? path);
      const inner = { path: `${path}.items`, times: times * most, uncorrelatable: lost };
      this.visit(node.items, inner);
    }
    if (typeof node.additional === "object") {
      const inner = { ...place, path: `${path}.additionalProperties`, times: times * most };
      this.visit(node.additional, inner);
    }
  }

  totalCauses(path: string): FieldCause[] {
    const total = this.#costs.reduce((sum, { cost }) => sum + cost, 0);
    if (total <= schemaCostMax) return [];
    const expensive = [...this.#costs].sort((one, other) => other.cost - one.cost).slice(0, 4);
    const part =
      "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
    const name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
    return [
      ...expensive.map((each) => forbidden(each.path, part)),
      forbidden(path, costMessage(name, total, schemaCostMax)),
    ];
  }

  #check(node: SchemaNode, rule: CompiledRule, at: string, place: Place): void {
    const { definition } = rule;
    const shown = shownRule(definition);
    if (rule.problem !== undefined) this.causes.push(invalid(`${at}.rule`, shown, rule.problem));
    else this.#cost(node, rule.expression?.tree, "rule", `${at}.rule`, place);
    if (rule.messageProblem !== undefined) {
      this.causes.push(invalid(`${at}.messageExpression`, shown, rule.messageProblem));
    } else if (rule.message !== undefined) {
      // It is evaluated for the first failure alone.
      const once = { ...place, times: 1 };
      const field = `${at}.messageExpression`;
      this.#cost(node, rule.message.tree, "messageExpression", field, once);
    }
    if (rule.transition && place.uncorrelatable !== undefined) {
      const detail =
        "oldSelf cannot be used on the uncorrelatable portion of the schema within " +
        place.uncorrelatable;
      this.causes.push(invalid(`${at}.rule`, definition.rule, detail));
    } else if (
      !rule.transition &&
      rule.problem === undefined &&
      definition.optionalOldSelf !== undefined
    ) {
      const detail = "may not be set if oldSelf is not used in rule";
      this.causes.push(invalid(`${at}.optionalOldSelf`, definition.optionalOldSelf, detail));
    }
  }

  #cost(node: SchemaNode, tree: unknown, what: string, path: string, { times }: Place): void {
    const count = Number.isFinite(times) ? times : sizesOf(node).perRequest;
    const cost = expressionCost(tree, node) * count;
    this.#costs.push({ path, cost });
    if (cost <= ruleCostMax) return;
    this.causes.push(forbidden(path, costMessage(`estimated ${what} cost`, cost, ruleCostMax)));
  }
}

const reasons = [
  "FieldValueDuplicate",
  "FieldValueForbidden",
  "FieldValueInvalid",
  "FieldValueRequired",
];

function textProblems(node: SchemaNode, definition: ValidationRule, at: string): FieldCause[] {
  const { rule = "", message = "", messageExpression = "", reason, fieldPath = "" } = definition;
  const causes: FieldCause[] = [];
  const broken = /[\n\r]/;
  if (rule.trim() === "") causes.push(required(`${at}.rule`, "rule is not specified"));
  else if (message !== "" && message.trim() === "") {
    causes.push(invalid(`${at}.message`, message, "must be non-empty if specified"));
  } else if (broken.test(message.trim())) {
    causes.push(invalid(`${at}.message`, message, "must not contain line breaks"));
  } else if (broken.test(rule.trim()) && message.trim() === "") {
    const detail = "message must be specified if rule contains line breaks";
    causes.push(required(`${at}.message`, detail));
  }
  if (messageExpression !== "" && messageExpression.trim() === "") {
    const detail = "messageExpression must be non-empty if specified";
    causes.push(required(`${at}.messageExpression`, detail));
  }
  if (reason !== undefined && !reasons.includes(reason)) {
    causes.push(notSupportedInOrder(`${at}.reason`, reason, reasons));
  }
  if (fieldPath !== "") causes.push(...fieldPathProblems(node, fieldPath, `${at}.fieldPath`));
  return causes;
}

function fieldPathProblems(node: SchemaNode, path: string, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  if (path.trim() === "") causes.push(invalid(at, path, "must be non-empty if specified"));
  if (/[\n\r]/.test(path)) causes.push(invalid(at, path, "must not contain line breaks"));
  let present: SchemaNode | undefined = node;
  const parts = [...path.matchAll(/\.([A-Za-z_][\w-]*)|\['([^']+)'\]/g)];
  const whole = parts.map(([text]) => text).join("") === path;
  for (const [, name, quoted] of parts) {
    present = present && fieldOf(present, name ?? quoted ?? "");
  }
  const valid = whole && parts.length > 0 && present !== undefined;
  return valid ? causes : [...causes, invalid(at, path, "must be a valid path")];
}

function fieldOf({ properties, additional }: SchemaNode, name: string): SchemaNode | undefined {
  return properties.get(name) ?? (typeof additional === "object" ? additional : undefined);
}

/** Whether the text of a rule below a node is broken. */
function brokenBelow(node: SchemaNode): boolean {
  if (!node.rules) return false;
  const below = [...node.properties.values()];
  if (node.items !== undefined) below.push(node.items);
  if (typeof node.additional === "object") below.push(node.additional);
  return below.some((each) => {
    const rules = each.props["x-kubernetes-validations"] ?? [];
    return rules.some((rule) => textProblems(each, rule, "").length > 0) || brokenBelow(each);
  });
}

/** A rule as upstream shows it, with its names for the fields. */
function shownRule(definition: ValidationRule): object {
  const { rule = "", message = "", messageExpression = "", fieldPath = "" } = definition;
  return {
    Rule: rule,
    Message: message,
    MessageExpression: messageExpression,
    Reason: definition.reason ?? null,
    FieldPath: fieldPath,
    OptionalOldSelf: definition.optionalOldSelf ?? null,
  };
}

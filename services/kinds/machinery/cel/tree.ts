/** The parsed form of an expression: what may be changed of it before it is checked and run. */
import { spendOn } from "./budget.ts";

/** A node of the parser's tree, as far as it is looked at here. */
interface ExpressionNode {
  readonly op: string;
  args: unknown;
  evaluate(evaluator: unknown, node: unknown, context: unknown): unknown;
}

/**
 * Prepares a parsed expression: the names of functions that the library has, and that are replaced,
 * become those of their replacements, and each node spends from the budget when it is evaluated.
 * Answers the names of the variables that the expression reads.
 */
export function prepare(root: unknown, renamed: ReadonlyMap<string, string>): Set<string> {
  const names = new Set<string>();
  const seen = new Set<object>();
  const pending: unknown[] = [root];
  while (pending.length > 0) {
    const next = pending.pop();
    if (typeof next !== "object" || next === null || seen.has(next)) continue;
    seen.add(next);
    if (Array.isArray(next)) {
      pending.push(...next);
      continue;
    }
    if (isNode(next)) visit(next, renamed, names);
    const { meta } = next as { meta?: object };
    if (meta !== undefined) pending.push(...Object.values(meta));
    pending.push(...Object.values(next));
  }
  return names;
}

function isNode(value: object): value is ExpressionNode {
  const { op, evaluate } = value as Partial<ExpressionNode>;
  return typeof op === "string" && typeof evaluate === "function";
}

function visit(
  node: ExpressionNode,
  renamed: ReadonlyMap<string, string>,
  names: Set<string>,
): void {
  if (node.op === "id" && typeof node.args === "string") names.add(node.args);
  if (node.op === "rcall" && Array.isArray(node.args)) {
    const [name] = node.args as unknown[];
    const other = typeof name === "string" ? renamed.get(name) : undefined;
    if (other !== undefined) node.args[0] = other;
  }
  count(node);
}

/** Has the node spend. It chooses its way of evaluation when it is first evaluated, and keeps it. */
function count(node: ExpressionNode): void {
  let chosen = node.evaluate;
  const counted: ExpressionNode["evaluate"] = (evaluator, self, context) => {
    const value = chosen.call(node, evaluator, self, context);
    spendOn(value);
    return value;
  };
  Object.defineProperty(node, "evaluate", {
    get: () => counted,
    set: (way: ExpressionNode["evaluate"]) => {
      chosen = way;
    },
  });
}

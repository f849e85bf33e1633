/** From the text of an expression to what can be evaluated, or to what is wrong with it. */
import type { Budget } from "./budget.ts";
import { withBudget } from "./budget.ts";
import type { CelEnvironment } from "./environment.ts";
import { replacedFunctions } from "./libraries/strings.ts";
import { prepare } from "./tree.ts";

const lengthMax = 32_768;

export interface Expression {
  /** The type of its results, e.g. `bool`, `list<string>`, `dyn`. */
  readonly type: string;
  /** The variables that it reads. */
  readonly reads: ReadonlySet<string>;
  /** The parsed form, for estimates of its cost. */
  readonly tree: unknown;
  /** Throws an Error with the reason: BudgetExceeded, or what went wrong in the expression. */
  evaluate(variables: Readonly<Record<string, unknown>>, budget: Budget): unknown;
}

/** Throws an Error in upstream's form: `compilation failed: ERROR: <input>:1:6: …`. */
export function compileExpression(environment: CelEnvironment, text: string): Expression {
  if (text.length > lengthMax) {
    throw new Error(`compilation failed: expression is longer than ${lengthMax} characters`);
  }
  try {
    const parsed = environment.parse(text);
    const reads = prepare(parsed.ast, replacedFunctions);
    const { valid, type, error } = parsed.check();
    if (!valid) throw error;
    return {
      type: String(type),
      reads,
      tree: parsed.ast,
      evaluate: (variables, budget) =>
        withBudget(budget, () => evaluated(() => parsed({ ...variables }) as unknown)),
    };
  } catch (thrown) {
    throw new Error(`compilation failed: ${compileMessage(text, thrown)}`);
  }
}

/** An error of the library carries the reason apart from the text around it. */
interface LibraryError {
  readonly summary?: string;
  readonly code?: string;
  readonly range?: { readonly start: number };
}

function evaluated(run: () => unknown): unknown {
  try {
    return run();
  } catch (thrown) {
    const { summary } = thrown as LibraryError;
    if (summary === undefined) throw thrown;
    throw new Error(runtimeMessage(summary), { cause: thrown });
  }
}

/** The library's words, as upstream's evaluator says it. */
function runtimeMessage(summary: string): string {
  const text = summary.replaceAll("matchesRe2", "matches");
  const key = /^No such key: (?!index)(.*)$/.exec(text)?.[1];
  if (key !== undefined) return `no such key: ${key}`;
  const index = /index (-?\d+)/.exec(text)?.[1];
  if (text.startsWith("No such key: index out of bounds")) return `index out of bounds: ${index}`;
  if (/overflow/i.test(text)) return "integer overflow";
  if (text.startsWith("found no matching overload")) return "no such overload";
  return text;
}

function compileMessage(text: string, thrown: unknown): string {
  const { summary, code = "", range } = thrown as LibraryError;
  const start = Math.min(range?.start ?? 0, text.length);
  const message = translated(summary ?? String((thrown as Error).message), code);
  // A selected field is placed by the dot before it.
  const selects = code === "no_such_key" || code === "cannot_index_type";
  const at = selects && start > 0 ? start - 1 : start;
  const before = text.slice(0, at);
  const line = before.split("\n").length;
  const column = at - (before.lastIndexOf("\n") + 1);
  const source = text.split("\n")[line - 1] ?? "";
  const pointer = `${".".repeat(column)}^`;
  return `ERROR: <input>:${line}:${column + 1}: ${message}\n | ${source}\n | ${pointer}`;
}

function translated(summary: string, code: string): string {
  const text = summary.replaceAll("matchesRe2", "matches");
  const binary = /^no such overload: (.+) (\S+) (.+)$/.exec(text);
  const called = /^found no matching overload for '(.*?)\((.*)\)'$/.exec(text);
  switch (code) {
    case "no_such_key":
      return `undefined field '${text.replace(/^No such key: /, "")}'`;
    case "cannot_index_type": {
      const type = /'(.*)'/.exec(text)?.[1] ?? "";
      return `type '${type}' does not support field selection`;
    }
    case "unknown_variable": {
      const name = text.replace(/^Unknown variable: /, "");
      return `undeclared reference to '${name}' (in container '')`;
    }
    case "no_such_overload":
      if (binary === null) return text;
      return (
        `found no matching overload for '_${binary[2]}_' applied to ` +
        `'(${binary[1]}, ${binary[3]})'`
      );
    case "no_matching_overload": {
      if (called === null) return text;
      const [receiver, name] = splitReceiver(called[1] ?? "");
      const types = receiver === undefined ? called[2] : `${receiver}.(${called[2]})`;
      const applied = receiver === undefined ? `(${types})` : types;
      return `found no matching overload for '${name}' applied to '${applied}'`;
    }
    default:
      return code.startsWith("unexpected") || code.startsWith("expected")
        ? `Syntax error: ${text}`
        : text;
  }
}

function splitReceiver(name: string): [string | undefined, string] {
  const dot = name.lastIndexOf(".");
  return dot < 0 ? [undefined, name] : [name.slice(0, dot), name.slice(dot + 1)];
}

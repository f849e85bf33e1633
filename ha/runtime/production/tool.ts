/** The manners of a small program that people run by hand: its flags, `--help`, a wrong flag. */
import { StatusError } from "../status-error.ts";
import { type Flags, type FlagValues, flagLines, parseFlags } from "./process.ts";

export interface Tool<F extends Flags = Flags> {
  /** Begins every message of the tool. */
  readonly name: string;
  /** One line, after "usage: ". */
  readonly usage: string;
  readonly flags: F;
  /** What the one argument that is no flag may be, the default first; absent: there is none. */
  readonly choices?: readonly string[];
}

export interface ToolArguments<F extends Flags> {
  readonly values: FlagValues<F>;
  /** One of the choices; empty without any. */
  readonly choice: string;
}

/**
 * Reads the arguments of a tool. `--help` prints what there is and ends the process with 0; wrong
 * arguments end it with 2, after one line that names them.
 */
export function toolArguments<const F extends Flags>(
  tool: Tool<F>,
  args: readonly string[],
): ToolArguments<F> {
  if (args.includes("--help") || args.includes("-h")) {
    const choices = tool.choices ? [`One of: ${tool.choices.join(", ")}`, ""] : [];
    const lines = [`usage: ${tool.usage}`, "", ...choices, "Flags:", ...flagLines(tool.flags)];
    process.stdout.write(`${lines.join("\n")}\n`);
    process.exit(0);
  }
  try {
    const { choice, flags } = splitChoice(tool.choices, args);
    return { values: parseFlags(tool.flags, flags), choice };
  } catch (error) {
    return refuse(tool.name, StatusError.from(error).message);
  }
}

function splitChoice(choices: readonly string[] | undefined, args: readonly string[]) {
  const [first] = args;
  if (choices === undefined || first === undefined || first.startsWith("-")) {
    return { choice: choices?.[0] ?? "", flags: args };
  }
  if (choices.includes(first)) return { choice: first, flags: args.slice(1) };
  const [nearest] = nearestNames(first, choices);
  const hint = nearest === undefined ? "" : `; did you mean "${nearest}"?`;
  throw new Error(`"${first}" is none of ${choices.join(", ")}${hint}`);
}

/** Those names that few letters tell from the word, or that begin with it; the nearest first. */
function nearestNames(word: string, names: readonly string[]): string[] {
  const far = Math.max(2, Math.floor(word.length / 3));
  return names
    .map((name) => ({ name, steps: name.startsWith(word) ? 0 : editSteps(word, name) }))
    .filter(({ steps }) => steps <= far)
    .toSorted((a, b) => a.steps - b.steps)
    .map(({ name }) => name);
}

/** Letters to insert, remove or replace (Levenshtein's distance). */
function editSteps(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}

/** Ends the process with 2, after one line. */
export function refuse(tool: string, message: string): never {
  process.stderr.write(`${tool}: ${message.replace(/\s*\n\s*/g, " ")}\n`);
  process.exit(2);
}

/** The value of a flag when it is a whole number within the bounds; otherwise the tool ends. */
export function wholeNumber(
  tool: string,
  flag: string,
  value: number,
  least: number,
  most: number,
): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  return refuse(tool, `flag --${flag}: ${value} is not a whole number in ${least}..${most}`);
}

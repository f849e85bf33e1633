/** Texts: CEL's strings extension, and regular expressions by RE2's rules. */
import type { Environment } from "@marcbachmann/cel-js";
import { compilePattern } from "../../structural/pattern.ts";
import { define, defineNamespace, spendOnText } from "./define.ts";

/** Functions of the library under the names that stand in for them; see tree.ts. */
export const replacedFunctions: ReadonlyMap<string, string> = new Map([["matches", "matchesRe2"]]);

export function registerStrings(environment: Environment): void {
  define(environment, {
    "string.matchesRe2(string): bool": matches,
    "matches(string, string): bool": matches,
    "string.find(string): string": (text: string, pattern: string) => {
      const matcher = expression(pattern, text).matcher(text);
      return matcher.find() ? (matcher.group() ?? "") : "";
    },
    "string.findAll(string): list<string>": (text: string, pattern: string) =>
      findAll(text, pattern, -1n),
    "string.findAll(string, int): list<string>": findAll,
    "string.charAt(int): string": (text: string, index: bigint) => {
      const points = Array.from(text);
      if (index < 0n || index > BigInt(points.length))
        throw new Error(`index out of range: ${index}`);
      return points[Number(index)] ?? "";
    },
    "string.replace(string, string): string": (text: string, from: string, to: string) =>
      replace(text, from, to, -1n),
    "string.replace(string, string, int): string": replace,
    "string.reverse(): string": (text: string) => Array.from(text).reverse().join(""),
    "string.format(list): string": format,
  });
  defineNamespace(environment, "strings", {
    "quote(string): string": (text: string) => JSON.stringify(text),
  });
  defineNamespace(environment, "base64", {
    "encode(bytes): string": (bytes: Uint8Array) => Buffer.from(bytes).toString("base64"),
    "decode(string): bytes": (text: string) => Buffer.from(text, "base64"),
  });
}

function expression(pattern: string, text: string) {
  spendOnText(text, text, pattern);
  const compiled = compilePattern(pattern);
  if (compiled instanceof Error) throw compiled;
  return compiled;
}

function matches(text: string, pattern: string): boolean {
  return expression(pattern, text).matcher(text).find();
}

function findAll(text: string, pattern: string, limit: bigint): string[] {
  const matcher = expression(pattern, text).matcher(text);
  const found: string[] = [];
  while ((limit < 0n || BigInt(found.length) < limit) && matcher.find()) {
    spendOnText(matcher.group() ?? "");
    found.push(matcher.group() ?? "");
  }
  return found;
}

function replace(text: string, from: string, to: string, limit: bigint): string {
  spendOnText(text, from, to);
  if (limit === 0n) return text;
  const parts = from === "" ? ["", ...Array.from(text), ""] : text.split(from);
  const most = limit < 0n ? parts.length - 1 : Math.min(Number(limit), parts.length - 1);
  spendOnText("".padEnd(0), to.repeat(Math.min(most, 1)));
  if (most * to.length > textMax) throw new Error(`the text grows beyond ${textMax} characters`);
  const head = parts.slice(0, most + 1).join(to);
  const rest = parts.slice(most + 1);
  return rest.length === 0 ? head : [head, ...rest].join(from);
}

const textMax = 4 * 1024 * 1024;

/** Of CEL's strings extension: `%s %d %f %e %b %x %X %o %%`, with a precision for `%f` and `%e`. */
function format(template: string, values: readonly unknown[]): string {
  let index = 0;
  const text = template.replace(/%(?:%|(?:\.(\d{1,2}))?([a-zA-Z]))/g, (all, digits, verb) => {
    if (all === "%%") return "%";
    if (index >= values.length) throw new Error(`index ${index} out of range`);
    const value = values[index];
    index += 1;
    return formatted(String(verb), value, digits === undefined ? 6 : Number(digits));
  });
  spendOnText(text);
  return text;
}

function formatted(verb: string, value: unknown, digits: number): string {
  switch (verb) {
    case "s":
      return shown(value);
    case "d":
      if (typeof value === "bigint" || typeof value === "number") return String(value);
      throw new Error("error during formatting: decimal clause can only be used on integers");
    case "f":
      return Number(value).toFixed(digits);
    case "e":
      return Number(value)
        .toExponential(digits)
        .replace(/e([+-])(\d)$/, "e$10$2");
    case "b":
      return typeof value === "boolean" ? (value ? "1" : "0") : BigInt(value as bigint).toString(2);
    case "o":
      return BigInt(value as bigint).toString(8);
    case "x":
    case "X": {
      const hex =
        typeof value === "string"
          ? Buffer.from(value).toString("hex")
          : BigInt(value as bigint).toString(16);
      return verb === "x" ? hex : hex.toUpperCase();
    }
    default:
      throw new Error(
        `could not parse formatting clause: unrecognized formatting clause "${verb}"`,
      );
  }
}

function shown(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return `[${value.map(shown).join(", ")}]`;
  if (typeof value === "object" && value.constructor === Object) {
    const entries = Object.entries(value).map(([name, each]) => `${name}: ${shown(each)}`);
    return `{${entries.sort().join(", ")}}`;
  }
  return (value as { toString(): string }).toString();
}

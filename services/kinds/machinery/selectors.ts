/**
 * Selectors in query form: label selectors by the grammar of apimachinery `labels/selector.go`,
 * field selectors by that of `fields/selector.go`.
 */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { limits } from "./limits.ts";
import { checkLabelValue, checkQualifiedName } from "./names.ts";
import type { Document, Resource } from "./resource.ts";

export type Labels = Readonly<Record<string, string>>;

export interface Requirement {
  readonly key: string;
  readonly operator: "=" | "!=" | "in" | "notin" | "exists" | "!" | "gt" | "lt";
  readonly values: readonly string[];
}

/** A parsed label selector: every requirement must hold. */
export interface Selector {
  readonly requirements: readonly Requirement[];
  readonly matchesNothing?: true;
}

interface FieldTerm {
  readonly field: string;
  readonly operator: "=" | "!=";
  readonly value: string;
}

export interface FieldSelector {
  readonly terms: readonly FieldTerm[];
}

function refuse(message: string): never {
  throw new StatusError(Code.invalidArgument, message, { reason: "BadRequest" });
}

function checkLength(text: string): void {
  if (text.length <= limits.selectorLength) return;
  refuse(`selector of ${text.length} characters exceeds the limit of ${limits.selectorLength}`);
}

/** E.g. `app=web,tier in (a,b),!legacy`; empty selects everything. Throws invalidArgument. */
export function parseLabelSelector(text: string): Selector {
  checkLength(text);
  return { requirements: new LabelParser(text).parse() };
}

const token = /\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+|$)/y;
const symbols = new Set(["==", "!=", "=", "!", "<", ">", "(", ")", ",", ""]);

class LabelParser {
  private readonly tokens: string[] = [];
  private position = 0;

  constructor(text: string) {
    token.lastIndex = 0;
    for (;;) {
      const found = token.exec(text)?.[1] ?? "";
      this.tokens.push(found);
      if (found === "") return;
    }
  }

  parse(): Requirement[] {
    const requirements: Requirement[] = [];
    if (this.peek() === "") return requirements;
    for (;;) {
      requirements.push(this.requirement());
      if (requirements.length > limits.selectorRequirements) {
        refuse(`selector has more than ${limits.selectorRequirements} requirements`);
      }
      const next = this.take();
      if (next === "") return requirements;
      if (next !== ",") refuse(`found '${next}', expected: ',' or 'end of string'`);
      const after = this.peek();
      if (after === "" || after === ",") {
        refuse(`found '${after}', expected: identifier after ','`);
      }
    }
  }

  private requirement(): Requirement {
    if (this.peek() === "!") {
      this.take();
      return {
        key: this.key("unable to parse requirement: ", "identifier"),
        operator: "!",
        values: [],
      };
    }
    const key = this.key("", "!, identifier, or 'end of string'");
    const next = this.peek();
    if (next === "" || next === ",") return { key, operator: "exists", values: [] };
    this.take();
    switch (next) {
      case "=":
      case "==":
        return { key, operator: "=", values: [this.value(key)] };
      case "!=":
        return { key, operator: "!=", values: [this.value(key)] };
      case "<":
      case ">":
        return { key, operator: next === "<" ? "lt" : "gt", values: [this.number(key, next)] };
      case "in":
      case "notin":
        return { key, operator: next, values: this.list(key) };
      default:
        return refuse(
          `unable to parse requirement: found '${next}', expected: in, notin, =, ==, !=, gt, lt`,
        );
    }
  }

  private key(where: string, expected: string): string {
    const key = this.take();
    if (symbols.has(key)) refuse(`${where}found '${key}', expected: ${expected}`);
    const [problem] = checkQualifiedName(key);
    if (problem === undefined) return key;
    return refuse(`unable to parse requirement: <nil>: Invalid value: ${quote(key)}: ${problem}`);
  }

  private value(key: string): string {
    const next = this.peek();
    if (next === "" || next === ",") return "";
    if (symbols.has(next))
      refuse(`unable to parse requirement: found '${next}', expected: identifier`);
    this.take();
    return this.checked(key, next);
  }

  private checked(key: string, value: string): string {
    const [problem] = checkLabelValue(value);
    if (problem === undefined) return value;
    const where = `values[0][${key}]`;
    return refuse(
      `unable to parse requirement: ${where}: Invalid value: ${quote(value)}: ${problem}`,
    );
  }

  private number(key: string, operator: string): string {
    const value = this.value(key);
    if (/^[+-]?[0-9]{1,18}$/.test(value)) return value;
    const detail = "for 'Gt', 'Lt' operators, the value must be an integer";
    return refuse(
      `unable to parse requirement: ${key} ${operator}: Invalid value: ${quote(value)}: ${detail}`,
    );
  }

  private list(key: string): string[] {
    const open = this.take();
    if (open !== "(") refuse(`unable to parse requirement: found '${open}' expected: '('`);
    const values: string[] = [];
    for (;;) {
      const next = this.take();
      if (next === ")" || next === ",") {
        // Nothing between separators stands for the empty value.
        values.push("");
      } else {
        if (symbols.has(next))
          refuse(`unable to parse requirement: found '${next}', expected: ',', ')' or identifier`);
        values.push(this.checked(key, next));
      }
      if (values.length > limits.selectorValues) {
        refuse(`requirement on ${key} has more than ${limits.selectorValues} values`);
      }
      const end = next === ")" || next === "," ? next : this.take();
      if (end === ")") return [...new Set(values)].sort();
      if (end !== ",") refuse(`unable to parse requirement: found '${end}', expected: ',' or ')'`);
    }
  }

  private peek(): string {
    return this.tokens[this.position] ?? "";
  }

  private take(): string {
    const next = this.peek();
    this.position += 1;
    return next;
  }
}

const quote = (text: string): string => JSON.stringify(text);

export function matchesLabels(selector: Selector, labels: Labels | undefined): boolean {
  if (selector.matchesNothing) return false;
  return selector.requirements.every((requirement) => meets(requirement, labels ?? {}));
}

function meets({ key, operator, values }: Requirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case "=":
    case "in":
      return value !== undefined && values.includes(value);
    case "!=":
    case "notin":
      return value === undefined || !values.includes(value);
    case "exists":
      return value !== undefined;
    case "!":
      return value === undefined;
    case "gt":
    case "lt": {
      if (value === undefined || !/^[+-]?[0-9]{1,18}$/.test(value)) return false;
      const [actual, bound] = [
        BigInt(value.replace("+", "")),
        BigInt((values[0] ?? "0").replace("+", "")),
      ];
      return operator === "gt" ? actual > bound : actual < bound;
    }
  }
}

/** Labels as columns show them: in order of their keys, `<none>` without any. */
export function formatLabels(labels: Readonly<Record<string, string>> | undefined): string {
  const shown = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return shown.sort().join(",") || "<none>";
}

/** The query form, requirements in order of their keys; a selector of nothing has none. */
export function formatSelector(selector: Selector): string {
  const inOrder = [...selector.requirements].sort((left, right) =>
    left.key < right.key ? -1 : left.key > right.key ? 1 : 0,
  );
  return inOrder.map(formatRequirement).join(",");
}

function formatRequirement({ key, operator, values }: Requirement): string {
  switch (operator) {
    case "=":
    case "!=":
      return `${key}${operator}${values[0] ?? ""}`;
    case "in":
    case "notin":
      return `${key} ${operator} (${[...values].sort().join(",")})`;
    case "exists":
      return key;
    case "!":
      return `!${key}`;
    case "gt":
      return `${key}>${values[0] ?? ""}`;
    case "lt":
      return `${key}<${values[0] ?? ""}`;
  }
}

// ---- fields -------------------------------------------------------------------------------------

const everyKindSelects = ["metadata.name", "metadata.namespace"];

/**
 * E.g. `spec.nodeName=node-1,status.phase!=Running`; a backslash escapes comma, equals sign and
 * backslash in values. Throws invalidArgument, also for fields the kind cannot select by.
 */
export function parseFieldSelector(text: string, kind: Resource): FieldSelector {
  checkLength(text);
  const terms: FieldTerm[] = [];
  for (const part of splitTerms(text)) {
    if (part === "") continue;
    const term = parseTerm(part, text);
    if (
      !everyKindSelects.includes(term.field) &&
      !Object.hasOwn(kind.selectableFields, term.field)
    ) {
      refuse(
        kind.schema.message === undefined || Object.keys(kind.selectableFields).length > 0
          ? `field label not supported: ${term.field}`
          : `"${term.field}" is not a known field selector: only "metadata.name", "metadata.namespace"`,
      );
    }
    terms.push(term);
  }
  if (terms.length > limits.selectorRequirements) {
    refuse(`selector has more than ${limits.selectorRequirements} terms`);
  }
  return { terms };
}

function splitTerms(text: string): string[] {
  const parts: string[] = [];
  let start = 0;
  for (let index = 0; index < text.length; index++) {
    if (text[index] === "\\") index += 1;
    else if (text[index] === ",") {
      parts.push(text.slice(start, index));
      start = index + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}

function parseTerm(part: string, whole: string): FieldTerm {
  const match = /^([^=!\\]*)(==|!=|=)(.*)$/s.exec(part);
  if (match === null) return refuse(`invalid selector: '${whole}'; can't understand '${part}'`);
  const [, field = "", operator, escaped = ""] = match;
  if (/(^|[^\\])(\\\\)*=/.test(escaped)) {
    refuse(`invalid field selector: unescaped character in value: =`);
  }
  const value = escaped.replace(/\\(.?)/gs, (_all, next: string) => {
    if (next === "\\" || next === "," || next === "=") return next;
    return refuse(`invalid field selector: invalid escape sequence: \\${next}`);
  });
  return { field, operator: operator === "!=" ? "!=" : "=", value };
}

export function matchesFields(
  kind: Resource,
  selector: FieldSelector,
  document: Document,
): boolean {
  return meetsTerms(selector, (field) => {
    if (field === "metadata.name") return document.metadata?.name ?? "";
    if (field === "metadata.namespace") return document.metadata?.namespace ?? "";
    return kind.selectableFields[field]?.(document) ?? "";
  });
}

/** For an object whose fields are known otherwise than by its document. */
export function meetsTerms(selector: FieldSelector, fieldOf: (field: string) => string): boolean {
  return selector.terms.every(
    ({ field, operator, value }) => (fieldOf(field) === value) === (operator === "="),
  );
}

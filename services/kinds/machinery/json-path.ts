/**
 * kubectl's dialect of JSONPath (client-go `util/jsonpath`), as printer columns use it: fields,
 * indices, slices, unions, wildcards, recursive descent, and filters such as
 * `.status.conditions[?(@.type=="Ready")].status`. Bounded in the length of a path and in the values
 * that it may visit.
 */
import { getField, isObject } from "./json.ts";

const lengthMax = 4_096;
const visitsMax = 20_000;
const depthMax = 16;

/** The values that the path finds in a document, in order; what is missing finds nothing. */
export interface JsonPath {
  find(document: unknown): unknown[];
}

type Step =
  | { readonly kind: "field"; readonly name: string }
  | { readonly kind: "wildcard" }
  | { readonly kind: "descend" }
  | { readonly kind: "slice"; readonly from?: number; readonly to?: number; readonly by: number }
  | { readonly kind: "union"; readonly paths: readonly (readonly Step[])[] }
  | { readonly kind: "filter"; readonly filter: Filter };

interface Operand {
  /** A path from the element (or from the document), or a constant. */
  readonly steps?: readonly Step[];
  readonly fromRoot?: boolean;
  readonly value?: unknown;
}

interface Filter {
  readonly left: Operand;
  readonly operator: "exists" | "==" | "!=" | "<" | "<=" | ">" | ">=";
  readonly right?: Operand;
}

/** Throws an Error that says what is wrong with the path. Braces around it are optional. */
export function parseJsonPath(text: string): JsonPath {
  if (text.length > lengthMax) throw new Error(`path is longer than ${lengthMax} characters`);
  const inner = text.startsWith("{") && text.endsWith("}") ? text.slice(1, -1) : text;
  const parser = new Parser(inner);
  const steps = parser.path(0);
  parser.expectEnd();
  return {
    find(document) {
      return new Evaluation(document).steps(steps, [document]);
    },
  };
}

const fieldName = /(?:[^\s.[\]{}()'"=!<>,?@$*\\|&]|\\.)+/y;
const bareName = /[^\]'",]+/y;
const numberText = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const operatorText = /==|!=|<=|>=|<|>/y;

class Parser {
  readonly #text: string;
  #position = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Steps until something else comes. */
  path(depth: number): Step[] {
    if (depth > depthMax) this.#fail(`nested deeper than ${depthMax} levels`);
    const steps: Step[] = [];
    if (this.#peek() === "$" || this.#peek() === "@") this.#position += 1;
    else if (depth === 0 && /^[A-Za-z_]/.test(this.#peek())) steps.push(this.#field());
    for (;;) {
      if (this.#skip("..")) {
        steps.push({ kind: "descend" });
        if (this.#peek() === "[") continue;
        steps.push(this.#skip("*") ? { kind: "wildcard" } : this.#field());
      } else if (this.#skip(".")) {
        if (this.#skip("*")) steps.push({ kind: "wildcard" });
        else if (this.#peek() === "[" || this.#atEnd) continue;
        else steps.push(this.#field());
      } else if (this.#skip("[")) steps.push(this.#bracket(depth + 1));
      else return steps;
    }
  }

  expectEnd(): void {
    if (!this.#atEnd) this.#fail(`unexpected ${JSON.stringify(this.#peek())}`);
  }

  #field(): Step {
    const name = this.#match(fieldName);
    if (name === undefined) return this.#fail("expected a field name");
    return { kind: "field", name: name.replace(/\\(.)/g, "$1") };
  }

  /** After the opening bracket, up to and with the closing one. */
  #bracket(depth: number): Step {
    this.#blank();
    if (this.#skip("?(")) {
      const filter = this.#filter(depth);
      if (!this.#skip(")")) this.#fail('expected ")"');
      this.#close();
      return { kind: "filter", filter };
    }
    const parts: Step[] = [];
    do {
      this.#blank();
      parts.push(this.#subscript());
      this.#blank();
    } while (this.#skip(","));
    this.#close();
    const [first] = parts;
    if (parts.length === 1 && first !== undefined) return first;
    return { kind: "union", paths: parts.map((part) => [part]) };
  }

  #subscript(): Step {
    if (this.#skip("*")) return { kind: "wildcard" };
    const quote = this.#peek();
    if (quote === "'" || quote === '"') return { kind: "field", name: this.#quoted() };
    const start = this.#match(/-?\d*/y) ?? "";
    if (this.#peek() === ":") return this.#slice(start);
    if (start !== "" && start !== "-") {
      const index = Number(start);
      return index === -1
        ? { kind: "slice", from: -1, by: 1 }
        : { kind: "slice", from: index, to: index + 1, by: 1 };
    }
    const name = this.#match(bareName);
    if (name === undefined) return this.#fail("expected an index or a name");
    return { kind: "field", name: name.trim() };
  }

  #slice(start: string): Step {
    this.#skip(":");
    const end = this.#match(/-?\d*/y) ?? "";
    const by = this.#skip(":") ? (this.#match(/-?\d*/y) ?? "") : "";
    const step = by === "" ? 1 : Number(by);
    if (!(step > 0)) this.#fail("step must be > 0");
    return {
      kind: "slice",
      ...(start !== "" && { from: Number(start) }),
      ...(end !== "" && { to: Number(end) }),
      by: step,
    };
  }

  #filter(depth: number): Filter {
    const left = this.#operand(depth);
    this.#blank();
    const operator = this.#match(operatorText) as Exclude<Filter["operator"], "exists"> | undefined;
    if (operator === undefined) return { left, operator: "exists" };
    this.#blank();
    const right = this.#operand(depth);
    this.#blank();
    return { left, operator, right };
  }

  #operand(depth: number): Operand {
    this.#blank();
    const next = this.#peek();
    if (next === "'" || next === '"') return { value: this.#quoted() };
    if (next === "@" || next === "$" || next === ".") {
      return { steps: this.path(depth + 1), fromRoot: next === "$" };
    }
    const number = this.#match(numberText);
    if (number !== undefined) return { value: Number(number) };
    const word = this.#match(/true|false/y);
    if (word !== undefined) return { value: word === "true" };
    return this.#fail("expected a path or a constant in the filter");
  }

  #quoted(): string {
    const quote = this.#peek();
    let text = "";
    for (this.#position += 1; !this.#atEnd; this.#position += 1) {
      const next = this.#peek();
      if (next === quote) {
        this.#position += 1;
        return text;
      }
      if (next === "\\") this.#position += 1;
      text += this.#peek();
    }
    return this.#fail("unterminated quoted string");
  }

  #close(): void {
    this.#blank();
    if (!this.#skip("]")) this.#fail('expected "]"');
  }

  #blank(): void {
    this.#match(/\s+/y);
  }

  get #atEnd(): boolean {
    return this.#position >= this.#text.length;
  }

  #peek(): string {
    return this.#text[this.#position] ?? "";
  }

  #skip(token: string): boolean {
    if (!this.#text.startsWith(token, this.#position)) return false;
    this.#position += token.length;
    return true;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#position;
    const found = pattern.exec(this.#text)?.[0];
    this.#position += found?.length ?? 0;
    return found;
  }

  #fail(problem: string): never {
    throw new Error(
      `${problem} at character ${this.#position + 1} of ${JSON.stringify(this.#text)}`,
    );
  }
}

class Evaluation {
  readonly #root: unknown;
  #visits = 0;

  constructor(root: unknown) {
    this.#root = root;
  }

  steps(steps: readonly Step[], values: readonly unknown[]): unknown[] {
    let present: unknown[] = [...values];
    for (const step of steps) {
      const next: unknown[] = [];
      for (const value of present) {
        if (!this.#visit()) return [];
        this.#step(step, value, next);
      }
      present = next;
    }
    return present;
  }

  /** False beyond the bound: such a path finds nothing. */
  #visit(): boolean {
    this.#visits += 1;
    return this.#visits <= visitsMax;
  }

  #step(step: Step, value: unknown, found: unknown[]): void {
    switch (step.kind) {
      case "field": {
        if (Array.isArray(value) || !isObject(value)) return;
        const field = getField(value, step.name);
        if (field !== undefined) found.push(field);
        return;
      }
      case "wildcard":
        found.push(...childrenOf(value));
        return;
      case "descend":
        this.#descend(value, found);
        return;
      case "slice":
        if (Array.isArray(value)) this.#slice(step, value, found);
        return;
      case "union":
        for (const path of step.paths) found.push(...this.steps(path, [value]));
        return;
      case "filter":
        for (const each of Array.isArray(value) ? value : []) {
          if (this.#visit() && this.#holds(step.filter, each)) found.push(each);
        }
    }
  }

  #descend(value: unknown, found: unknown[]): void {
    if (!this.#visit()) return;
    found.push(value);
    for (const child of childrenOf(value)) {
      if (typeof child === "object" && child !== null) this.#descend(child, found);
    }
  }

  #slice(
    { from = 0, to, by }: Extract<Step, { kind: "slice" }>,
    list: readonly unknown[],
    found: unknown[],
  ): void {
    const at = (index: number) => (index < 0 ? list.length + index : index);
    const end = Math.min(to === undefined ? list.length : at(to), list.length);
    for (let index = Math.max(at(from), 0); index < end; index += by) {
      if (!this.#visit()) return;
      found.push(list[index]);
    }
  }

  #holds({ left, operator, right = {} }: Filter, element: unknown): boolean {
    const lefts = this.#operand(left, element);
    if (operator === "exists") return lefts.length > 0;
    const rights = this.#operand(right, element);
    const [one, other] = [lefts[0], rights[0]];
    if (lefts.length !== 1 || rights.length !== 1) return false;
    if (operator === "==") return one === other;
    if (operator === "!=") return one !== other;
    const comparable =
      (typeof one === "number" && typeof other === "number") ||
      (typeof one === "string" && typeof other === "string");
    if (!comparable) return false;
    if (operator === "<") return one < other;
    if (operator === "<=") return one <= other;
    return operator === ">" ? one > other : one >= other;
  }

  #operand({ steps, fromRoot, value }: Operand, element: unknown): unknown[] {
    return steps === undefined ? [value] : this.steps(steps, [fromRoot ? this.#root : element]);
  }
}

function childrenOf(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  return isObject(value) ? Object.values(value) : [];
}

/** What is found, as kubectl prints it: text as it is, lists and objects as JSON. */
export function printed(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

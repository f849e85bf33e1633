/**
 * JSON text from outside: bounded, with errors that say where, and with the duplicate fields that
 * `JSON.parse` passes over in silence (the last one wins, as in upstream's decoder).
 */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { limits } from "./limits.ts";

export interface ParsedJson {
  readonly value: unknown;
  /** E.g. `duplicate field "spec.replicas"`, at most `limits.errors` of them. */
  readonly duplicates: string[];
}

/** Throws invalidArgument (reason BadRequest) or, beyond `limitBytes`, resourceExhausted. */
export function parseJson(text: string, limitBytes: number): ParsedJson {
  const size = Buffer.byteLength(text);
  if (size > limitBytes) {
    const detail = { reason: "RequestEntityTooLarge" };
    const message = `JSON text of ${size} bytes exceeds the limit of ${limitBytes} bytes`;
    throw new StatusError(Code.resourceExhausted, message, detail);
  }
  const known = compact(text);
  if (known !== undefined) return { value: known, duplicates: [] };
  const duplicates = new Scanner(text).scan();
  return { value: JSON.parse(text), duplicates };
}

/** Up to here no text has too many values: each takes two characters. */
const compactMax = 2 * limits.nodes;

/**
 * The value of an object's text that is just what `JSON.stringify` makes of it, as programs send it:
 * a field that is given twice would be missing there. Undefined: the text must be looked through.
 */
function compact(text: string): unknown {
  if (text.length > compactMax || !text.startsWith("{")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
    // Printing is bounded by the depth, as it must not exhaust the stack.
    if (!isShallow(value, limits.depth)) return undefined;
  } catch {
    return undefined; // The scanner says what is wrong, and where.
  }
  const printed = JSON.stringify(value);
  // Some end the text with a line break.
  return printed.length >= text.length - 1 && text.trimEnd() === printed ? value : undefined;
}

/** Whether no value lies more than `depth` levels deep. */
function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return depth >= 0;
  if (depth < 0) return false;
  if (Array.isArray(value)) return value.every((each) => isShallow(each, depth - 1));
  for (const name in value) {
    if (!isShallow((value as Record<string, unknown>)[name], depth - 1)) return false;
  }
  return true;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 8259 forbids just these in strings.
const plainString = /[^"\\\u0000-\u001f]*/y;
const escapeSequence = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const numberText = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const literal = /true|false|null/y;
const space = /[ \t\n\r]*/y;

/** One pass over the text by RFC 8259's grammar, which keeps nothing but paths. */
class Scanner {
  private readonly text: string;
  private position = 0;
  private nodes = 0;
  private readonly path: string[] = [];
  private readonly duplicates: string[] = [];

  constructor(text: string) {
    this.text = text;
  }

  scan(): string[] {
    this.value(0);
    this.skip(space);
    if (this.position < this.text.length) this.fail("expected the end of the text");
    return this.duplicates;
  }

  private value(depth: number): void {
    if (depth > limits.depth) this.fail(`nested more than ${limits.depth} levels deep`);
    this.nodes += 1;
    if (this.nodes > limits.nodes) this.fail(`more than ${limits.nodes} values`);
    this.skip(space);
    const next = this.text[this.position];
    if (next === "{") this.object(depth);
    else if (next === "[") this.list(depth);
    else if (next === '"') this.string();
    else if (this.skip(literal) === 0 && this.skip(numberText) === 0) this.fail("expected a value");
  }

  private object(depth: number): void {
    this.position += 1;
    const names = new Set<string>();
    if (this.closes("}")) return;
    do {
      this.skip(space);
      if (this.text[this.position] !== '"') this.fail("expected a field name in quotes");
      const name = this.string();
      this.path.push(this.path.length === 0 ? name : `.${name}`);
      if (names.has(name) && this.duplicates.length < limits.errors) {
        this.duplicates.push(`duplicate field ${JSON.stringify(this.path.join(""))}`);
      }
      names.add(name);
      this.skip(space);
      if (this.text[this.position] !== ":") this.fail('expected ":"');
      this.position += 1;
      this.value(depth + 1);
      this.path.pop();
    } while (this.continues("}"));
  }

  private list(depth: number): void {
    this.position += 1;
    if (this.closes("]")) return;
    let index = 0;
    do {
      this.path.push(`[${index}]`);
      this.value(depth + 1);
      this.path.pop();
      index += 1;
    } while (this.continues("]"));
  }

  private closes(bracket: string): boolean {
    this.skip(space);
    if (this.text[this.position] !== bracket) return false;
    this.position += 1;
    return true;
  }

  private continues(bracket: string): boolean {
    if (this.closes(bracket)) return false;
    if (this.text[this.position] !== ",") this.fail(`expected "," or "${bracket}"`);
    this.position += 1;
    return true;
  }

  private string(): string {
    const start = this.position;
    this.position += 1;
    let escaped = false;
    for (;;) {
      this.skip(plainString);
      const next = this.text[this.position];
      if (next === '"') break;
      if (next === undefined) this.fail("unterminated string");
      if (this.skip(escapeSequence) === 0) this.fail("bad escape or control character in a string");
      escaped = true;
    }
    this.position += 1;
    if (!escaped) return this.text.slice(start + 1, this.position - 1);
    return JSON.parse(this.text.slice(start, this.position)) as string;
  }

  private skip(pattern: RegExp): number {
    // Between most tokens there is none.
    if (pattern === space && this.text.charCodeAt(this.position) > 0x20) return 0;
    pattern.lastIndex = this.position;
    const length = pattern.exec(this.text)?.[0].length ?? 0;
    this.position += length;
    return length;
  }

  private fail(expectation: string): never {
    const before = this.text.slice(0, this.position);
    const line = before.split("\n").length;
    const column = this.position - (before.lastIndexOf("\n") + 1) + 1;
    const found = this.text[this.position];
    const saw = found === undefined ? "the end of the text" : JSON.stringify(found);
    const where = `line ${line} column ${column}`;
    const message = `invalid JSON at ${where}: ${expectation}, found ${saw}`;
    throw new StatusError(Code.invalidArgument, message, { reason: "BadRequest" });
  }
}

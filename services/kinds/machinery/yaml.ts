/**
 * YAML as kubectl reads it: the rules of sigs.k8s.io/yaml, which resolves scalars as YAML 1.1 does
 * with a few exceptions (a date stays text, base 60 is text, 1e3 is a number), makes JSON of the
 * result, and so turns the keys of maps into text.
 */
import type { LineCounter, Node, Pair, Scalar, YAMLMap, Document as YamlDocument } from "yaml";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { type JsonObject, setField } from "./json.ts";
import { limits } from "./limits.ts";
import { yamlLibrary } from "./yaml-library.ts";

/**
 * One value per document, null for an empty one. Throws invalidArgument with the line. A key that is
 * given twice is refused, or told to `duplicates` where there is such a list; the last one counts.
 */
export function parseYaml(text: string, duplicates?: string[]): unknown[] {
  const { LineCounter, parseAllDocuments } = yamlLibrary();
  const lines = new LineCounter();
  // Scalars come as the text written, so that the rules below alone decide what they mean.
  const documents = parseAllDocuments(text.replace(/^\ufeff/, ""), {
    version: "1.1",
    schema: "failsafe",
    merge: false,
    uniqueKeys: false,
    lineCounter: lines,
  });
  return Array.isArray(documents)
    ? documents.map((document) => new Reader(document, lines, duplicates).read())
    : [];
}

const prefix = "tag:yaml.org,2002:";

type ScalarValue = null | boolean | bigint | number | string;

/** Values that a plain scalar names. */
const named = new Map<string, ScalarValue>([
  ...["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"].map(
    (text): [string, ScalarValue] => [text, true],
  ),
  ...["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"].map(
    (text): [string, ScalarValue] => [text, false],
  ),
  ...["", "~", "null", "Null", "NULL"].map((text): [string, ScalarValue] => [text, null]),
  ...[".nan", ".NaN", ".NAN"].map((text): [string, ScalarValue] => [text, Number.NaN]),
  ...[".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"].map((text): [string, ScalarValue] => [
    text,
    Number.POSITIVE_INFINITY,
  ]),
  ...["-.inf", "-.Inf", "-.INF"].map((text): [string, ScalarValue] => [
    text,
    Number.NEGATIVE_INFINITY,
  ]),
]);

const integerText = /^[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)$/;
const floatText = /^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$/;
const dotFloatText = /^\.[0-9]+([eE][-+]?[0-9]+)?$/;
const integerMax = 2n ** 64n - 1n;
const integerMin = -(2n ** 63n);

/** What a plain scalar stands for: null, a boolean, a whole number as bigint, a number or text. */
function resolvePlain(text: string): ScalarValue {
  const value = named.get(text);
  if (value !== undefined) return value;
  if (text.startsWith(".")) {
    const number = dotFloatText.test(text) ? Number(text) : Number.NaN;
    return Number.isFinite(number) ? number : text;
  }
  if (!/^[-+0-9]/.test(text)) return text;
  const digits = text.replaceAll("_", "");
  if (integerText.test(digits)) {
    const whole = integerOf(digits);
    if (whole >= integerMin && whole <= integerMax) return whole;
  }
  const number = floatText.test(digits) ? Number(digits) : Number.NaN;
  return Number.isFinite(number) ? number : text;
}

/** A leading zero means octal, as in Go. */
function integerOf(text: string): bigint {
  const negative = text.startsWith("-");
  const digits = text.replace(/^[-+]/, "");
  const octal = /^0[0-7]/.test(digits) ? `0o${digits.slice(1)}` : digits;
  const whole = BigInt(octal);
  return negative ? -whole : whole;
}

class Reader {
  readonly #document: YamlDocument;
  readonly #lines: LineCounter;
  readonly #duplicates: string[] | undefined;
  readonly #open = new Set<Node>();
  #aliased = 0;
  #aliasDepth = 0;

  constructor(document: YamlDocument, lines: LineCounter, duplicates: string[] | undefined) {
    this.#document = document;
    this.#lines = lines;
    this.#duplicates = duplicates;
  }

  read(): unknown {
    const [error] = this.#document.errors;
    if (error !== undefined) {
      throw new StatusError(Code.invalidArgument, error.message.trim(), { reason: "BadRequest" });
    }
    return this.#value(this.#document.contents, 0);
  }

  #value(node: unknown, depth: number): unknown {
    if (node === null || node === undefined) return null;
    const { isAlias, isMap, isScalar, isSeq } = yamlLibrary();
    const at = node as Node;
    if (depth > limits.depth) this.#fail(at, `nested more than ${limits.depth} levels deep`);
    if (this.#aliasDepth > 0) {
      this.#aliased += 1;
      if (this.#aliased > limits.nodes) {
        this.#fail(at, `aliases stand for more than ${limits.nodes} values`);
      }
    }
    if (isScalar(node)) return this.#number(node, this.#scalar(node));
    if (isAlias(node)) {
      const target = node.resolve(this.#document);
      if (target === undefined) this.#fail(node, `unknown anchor "${node.source}"`);
      if (this.#open.has(target)) this.#fail(node, `anchor "${node.source}" contains itself`);
      this.#aliasDepth += 1;
      const value = this.#value(target, depth);
      this.#aliasDepth -= 1;
      return value;
    }
    this.#open.add(at);
    let value: unknown;
    if (isSeq(node)) value = node.items.map((item) => this.#value(item, depth + 1));
    else if (isMap(node)) value = this.#map(node, depth);
    else this.#fail(at, "neither a scalar, a list nor a map");
    this.#open.delete(at);
    return value;
  }

  #map(node: YAMLMap, depth: number): JsonObject {
    const result: JsonObject = {};
    const own = new Set<string>();
    for (const pair of node.items) {
      if (isMerge(pair)) {
        for (const merged of this.#merged(pair, depth)) {
          // Go's reader lets the later one win: here the merged keys, if they come last.
          for (const [key, value] of Object.entries(merged)) setField(result, key, value);
        }
        continue;
      }
      const key = this.#key(pair.key, depth);
      if (own.has(key)) this.#duplicate(pair.key as Node, key);
      own.add(key);
      setField(result, key, this.#value(pair.value, depth + 1));
    }
    return result;
  }

  /** The maps to merge, the one that wins last. */
  #merged(pair: Pair, depth: number): JsonObject[] {
    const value = this.#value(pair.value, depth + 1);
    const maps = Array.isArray(value) ? [...value].reverse() : [value];
    for (const map of maps) {
      if (typeof map === "object" && map !== null && !Array.isArray(map)) continue;
      this.#fail(pair.key as Node, "map merge requires map or sequence of maps as the value");
    }
    return maps as JsonObject[];
  }

  #key(node: unknown, depth: number): string {
    const { isAlias, isScalar } = yamlLibrary();
    const key = isAlias(node) ? node.resolve(this.#document) : node;
    if (key !== null && !isScalar(key)) this.#fail(node as Node, "a map key must be a scalar");
    if (depth > limits.depth) this.#fail(node as Node, "nested too deeply");
    const value = key === null ? null : this.#scalar(key);
    if (value === null) this.#fail(node as Node, "a map key must not be null");
    if (typeof value === "number") return floatKey(value);
    if (typeof value === "bigint" && value >= 2n ** 63n) {
      this.#fail(node as Node, `the map key ${value} is beyond 64 bits`);
    }
    return String(value);
  }

  #scalar(node: Scalar): ScalarValue {
    const text = typeof node.value === "string" ? node.value : "";
    const explicit = node.tag?.startsWith(prefix) ? node.tag.slice(prefix.length) : node.tag;
    if (explicit === undefined) return node.type === "PLAIN" ? resolvePlain(text) : text;
    if (explicit === "binary") return Buffer.from(text, "base64").toString("utf8");
    if (!["bool", "int", "float", "null"].includes(explicit)) return text;
    const value = resolvePlain(text);
    if (explicit === "float" && typeof value === "bigint") return Number(value);
    if (kindOf(value) === explicit) return value;
    return this.#fail(node, `cannot decode !!${kindOf(value)} \`${text}\` as a !!${explicit}`);
  }

  /** JSON has no infinity, and JavaScript no exact numbers beyond 2^53: no value is bent silently. */
  #number(node: Scalar, value: ScalarValue): ScalarValue {
    if (typeof value === "bigint") {
      const number = Number(value);
      if (Number.isSafeInteger(number)) return number;
      this.#fail(node, `${value} is beyond ${Number.MAX_SAFE_INTEGER}, what is kept exactly`);
    }
    if (typeof value === "number" && !Number.isFinite(value)) {
      this.#fail(node, `${String(node.value)} cannot be written as JSON`);
    }
    return value;
  }

  /** In the words of Go's reader. */
  #duplicate(node: Node, key: string): void {
    if (this.#duplicates === undefined)
      this.#fail(node, `key ${JSON.stringify(key)} is given twice`);
    if (this.#duplicates.length >= limits.errors) return;
    const { line } = this.#lines.linePos(node.range?.[0] ?? 0);
    this.#duplicates.push(`line ${line}: key ${JSON.stringify(key)} already set in map`);
  }

  #fail(node: Node | null | undefined, why: string): never {
    const offset = node?.range?.[0];
    const where = offset === undefined ? undefined : this.#lines.linePos(offset);
    const text = where === undefined ? why : `line ${where.line} column ${where.col}: ${why}`;
    throw new StatusError(Code.invalidArgument, text, { reason: "BadRequest" });
  }
}

/** What `parseYaml` told of, as one problem of the text; empty without any. */
export function duplicatesText(duplicates: readonly string[]): string[] {
  if (duplicates.length === 0) return [];
  return [["yaml: unmarshal errors:", ...duplicates].join("\n  ")];
}

function isMerge({ key }: Pair): boolean {
  return yamlLibrary().isScalar(key) && key.value === "<<" && key.type === "PLAIN";
}

function kindOf(value: ScalarValue): string {
  if (value === null) return "null";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "bigint") return "int";
  return typeof value === "number" ? "float" : "str";
}

/** A number as Go prints a float of 32 bits with `%g`, the form of keys that are numbers. */
function floatKey(value: number): string {
  if (Number.isNaN(value)) return ".nan";
  const single = Math.fround(value);
  if (!Number.isFinite(single)) return single > 0 ? ".inf" : "-.inf";
  let text = single.toExponential();
  for (let digits = 0; digits <= 9; digits++) {
    text = single.toExponential(digits);
    if (Math.fround(Number(text)) === single) break;
  }
  const [mantissa = "0", power = "0"] = text.split("e");
  const exponent = Number(power);
  if (exponent >= -4 && exponent < 6) return String(Number(text));
  const sign = exponent < 0 ? "-" : "+";
  return `${mantissa}e${sign}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/**
 * What the new text of an object changes in the old one, for watchers that have the old one. Fields
 * of metadata, spec, status and other objects are compared one by one; a field that is gone is null.
 *
 * Nothing is parsed: both texts are walked through side by side, and of the old one what is the same
 * is not even looked at byte by byte. Only behind a field that comes or goes are an object's fields
 * looked up by name.
 *
 *     before   {…,"metadata":{"name":"p",…},"spec":{"containers":[…]},"status":{"phase":"Pending"}}
 *     after    {…,"metadata":{"name":"p",…},"spec":{"containers":[…],"nodeName":"n"}}
 *     changes  {"metadata":{"name":"p",…},"spec":{"nodeName":"n"},"status":null}
 */
import { closingBrace, comma, endOfString, endOfValue, openingBrace, quote } from "./json-bytes.ts";
import { behindManaged } from "./managed-text.ts";

/**
 * `before` and `after`: stored texts, or JSON; their managedFields are left out. `metadata`: what
 * the metadata of the new one has besides, as `"name":value`. Undefined: the new text as a whole is
 * as short, or has fields that cannot be told like this.
 */
export function changedFields(before: Buffer, after: Buffer, metadata = ""): Buffer | undefined {
  if (before[0] !== openingBrace || after[0] !== openingBrace) return undefined;
  const made = new Comparison(before, after, metadata).changes();
  const fit = made !== undefined && made.length < after.length * worthwhile;
  return fit && !made.includes(unsafe) ? Buffer.from(made, "latin1") : undefined;
}

/** Longer ones are not worth the merging. */
const worthwhile = 0.8;

/** No field for those who put changes together in JavaScript. */
const unsafe = '"__proto__"';

/** Of the metadata: they tell which object it is, whether they have changed or not. */
const identity: readonly Buffer[] = ['"name":', '"namespace":', '"uid":'].map((key) =>
  Buffer.from(key),
);
const metadataKey = Buffer.from('"metadata":');
const nullText = Buffer.from("null");

class Comparison {
  readonly #before: Buffer;
  readonly #after: Buffer;
  readonly #metadata: string;
  /** How far the texts have been walked through. */
  #old = 0;
  #new = 0;
  /** A new value is null. */
  #nullFound = false;

  constructor(before: Buffer, after: Buffer, metadata: string) {
    this.#before = before;
    this.#after = after;
    this.#metadata = metadata;
  }

  changes(): string | undefined {
    const made = this.#object(true, false);
    return this.#nullFound ? undefined : `{${made}}`;
  }

  /** Of the two objects that begin here, behind which it then stands. */
  #object(fieldByField: boolean, isMetadata: boolean): string {
    const [before, after] = [this.#before, this.#after];
    let made = "";
    /** The old fields from the first on that has another name, by their keys. */
    let rest: Fields | undefined;
    this.#old += 1;
    this.#new += 1;
    if (isMetadata) {
      made = this.#metadata;
      this.#old = behindManaged(before, this.#old);
      this.#new = behindManaged(after, this.#new);
    }
    while (after[this.#new] === quote) {
      const start = this.#new;
      const value = endOfString(after, start) + 1;
      let old: number | undefined;
      if (rest === undefined && isAt(before, this.#old, after, start, value)) {
        old = this.#old + value - start;
      } else {
        rest ??= fieldsFrom(before, this.#old);
        const key = after.toString("latin1", start, value);
        old = rest.values.get(key);
        rest.values.delete(key);
      }
      const change = this.#field(start, value, old, fieldByField, isMetadata);
      if (change !== "") made += made === "" ? change : `,${change}`;
      if (rest === undefined && before[this.#old] === comma) this.#old += 1;
      if (after[this.#new] === comma) this.#new += 1;
    }
    rest ??= fieldsFrom(before, this.#old);
    for (const key of rest.values.keys()) made += `${made === "" ? "" : ","}${key}null`;
    this.#old = rest.end;
    this.#new += 1;
    return made;
  }

  /** Of one new field; `old`: where the old one's value is. Stands behind both values then. */
  #field(
    start: number,
    value: number,
    old: number | undefined,
    fieldByField: boolean,
    isMetadata: boolean,
  ): string {
    const [before, after] = [this.#before, this.#after];
    if (
      fieldByField &&
      old !== undefined &&
      before[old] === openingBrace &&
      after[value] === openingBrace
    ) {
      [this.#old, this.#new] = [old, value];
      const made = this.#object(false, isAt(metadataKey, 0, after, start, value));
      return made === "" ? "" : `${after.toString("latin1", start, value)}{${made}}`;
    }
    const end = endOfValue(after, value);
    this.#new = end;
    if (old !== undefined) {
      const oldEnd = old + end - value;
      const next = before[oldEnd];
      const same =
        (next === comma || next === closingBrace) && isAt(before, old, after, value, end);
      this.#old = same ? oldEnd : endOfValue(before, old);
      const told = isMetadata && identity.some((key) => isAt(key, 0, after, start, value));
      if (same && !told) return "";
    }
    if (end - value === nullText.length && isAt(nullText, 0, after, value, end)) {
      this.#nullFound = true;
    }
    return after.toString("latin1", start, end);
  }
}

interface Fields {
  /** Where their values are, by their keys. */
  readonly values: Map<string, number>;
  /** Where the object ends. */
  readonly end: number;
}

/** An object's fields from this place on; none at its end. */
function fieldsFrom(text: Buffer, from: number): Fields {
  const values = new Map<string, number>();
  let at = from;
  while (text[at] === quote) {
    const value = endOfString(text, at) + 1;
    values.set(text.toString("latin1", at, value), value);
    at = endOfValue(text, value);
    if (text[at] === comma) at += 1;
  }
  return { values, end: at + 1 };
}

/** Whether `text` goes on at `at` with this part of another one. */
function isAt(text: Buffer, at: number, other: Buffer, start: number, end: number): boolean {
  const until = at + end - start;
  if (until > text.length) return false;
  // Most are short names, for which a call costs more than to look at them.
  const short = Math.min(end, start + shortBytes);
  let from = at;
  let place = start;
  for (; place < short; place++, from++) if (text[from] !== other[place]) return false;
  return place === end || text.compare(other, place, end, from, until) === 0;
}

const shortBytes = 24;

/**
 * One object for all equal sets of fields. Most objects of a kind are written by the same managers
 * with the same fields, and their sets are larger than all the rest of their metadata: each is
 * parsed, printed and encoded once, not for every object.
 */
import type { FieldSet } from "./field-set.ts";

/**
 * Characters of all texts kept; the sets take some five times as much. Each pod that runs has a set
 * of its own, for its address is in it: those must not pile up when pods come and go.
 */
const textsLengthMax = 128 * 1024;
/** Sets beyond this size are too rare to be kept. */
const textLengthMax = 16_384;

/** The least recently used first. */
const byText = new Map<string, FieldSet>();
let textsLength = 0;
const texts = new WeakMap<FieldSet, string>();

/** The set with this JSON text, which is frozen. Throws SyntaxError. */
export function sharedFromText(text: string): FieldSet {
  const known = byText.get(text);
  if (known !== undefined) {
    byText.delete(text);
    byText.set(text, known);
    return known;
  }
  return remember(text, JSON.parse(text) as FieldSet);
}

/** The set itself, or one that is equal. */
export function shared(set: FieldSet): FieldSet {
  if (texts.has(set)) return set;
  const text = JSON.stringify(set);
  return byText.get(text) ?? remember(text, set);
}

/** Its JSON text. */
export function textOf(set: FieldSet): string {
  return texts.get(set) ?? JSON.stringify(set);
}

function remember(text: string, set: FieldSet): FieldSet {
  frozen(set);
  if (text.length > textLengthMax) return set;
  texts.set(set, text);
  byText.set(text, set);
  textsLength += text.length;
  for (const oldest of byText.keys()) {
    if (textsLength <= textsLengthMax) break;
    byText.delete(oldest);
    textsLength -= oldest.length;
  }
  return set;
}

function frozen(set: FieldSet): void {
  if (Object.isFrozen(set)) return;
  Object.freeze(set);
  for (const element in set) frozen(set[element] ?? set);
}

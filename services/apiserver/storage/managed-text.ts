/**
 * Stored documents carry their managedFields first in their metadata, so that they are found in the
 * text without parsing it, and equal sets of fields are parsed once for all documents.
 */
import type { ManagedFieldsEntry } from "../../../proto/gen/meta.ts";
import { type FieldSet, sharedFieldsFromText, sharedFieldsText } from "../../kinds/mod.ts";
import {
  closingBrace,
  closingBracket,
  comma,
  endOfString,
  openingBrace,
  quote,
} from "./json-bytes.ts";

/** `"managedFields":[…],` for the start of the metadata; "" without managers. */
export function managedText(entries: readonly ManagedFieldsEntry[] | undefined): string {
  if (entries === undefined || entries.length === 0) return "";
  const texts = entries.map(({ fieldsV1, ...entry }) => {
    const text = JSON.stringify(entry);
    if (fieldsV1 === undefined) return text;
    const fields = `"fieldsV1":${sharedFieldsText(fieldsV1 as FieldSet)}}`;
    return text === "{}" ? `{${fields}` : `${text.slice(0, -1)},${fields}`;
  });
  return `"managedFields":[${texts.join(",")}]`;
}

const listStart = Buffer.from('"managedFields":[');
const fieldsStart = Buffer.from('"fieldsV1":{');
const beforeList =
  /^\{"apiVersion":"[^"]*","kind":"[^"]*","metadata":\{(?:"resourceVersion":"\d+",)?$/;
const beforeListMax = 400;

interface Cut {
  /** The text with numbers in place of the sets. */
  readonly text: string;
  readonly sets: readonly FieldSet[];
}

/** Parses a stored document. Throws SyntaxError. */
export function parseManaged(text: Buffer): unknown {
  const cut = cutSets(text);
  if (cut === undefined) return JSON.parse(text.toString("utf8")) as unknown;
  const document = JSON.parse(cut.text) as {
    metadata: { managedFields: { fieldsV1?: unknown }[] };
  };
  for (const entry of document.metadata.managedFields) {
    if (typeof entry.fieldsV1 === "number") entry.fieldsV1 = cut.sets[entry.fieldsV1];
  }
  return document;
}

/** The text of a stored document without its managedFields. */
export function withoutManaged(text: Buffer): Buffer {
  const start = startOfList(text);
  if (start === undefined) return text;
  const end = behindManaged(text, start);
  // Without a comma behind it the list is the last of the metadata: the one before it goes.
  const kept = text[end - 1] !== comma && text[start - 1] === comma ? start - 1 : start;
  return Buffer.concat([text.subarray(0, kept), text.subarray(end)]);
}

/** Where the text goes on behind the managedFields that begin here; here, if there are none. */
export function behindManaged(text: Buffer, start: number): number {
  const opened = start + listStart.length;
  // The text of a bookmark ends before that.
  if (opened > text.length || text.compare(listStart, 0, listStart.length, start, opened) !== 0) {
    return start;
  }
  const end = endOfList(text, start) + 1;
  return text[end] === comma ? end + 1 : end;
}

/** Undefined: it has none, or stands where another program has put it. */
function startOfList(text: Buffer): number | undefined {
  const start = text.indexOf(listStart);
  if (start < 0 || start > beforeListMax) return undefined;
  return beforeList.test(text.toString("utf8", 0, start)) ? start : undefined;
}

function cutSets(text: Buffer): Cut | undefined {
  const start = startOfList(text);
  if (start === undefined) return undefined;
  const sets: FieldSet[] = [];
  let result = "";
  let kept = 0;
  endOfList(text, start, (known, open) => {
    known.set ??= sharedFieldsFromText(known.bytes.toString("utf8"));
    result += `${text.toString("utf8", kept, open)}${sets.length}`;
    sets.push(known.set);
    kept = open + known.bytes.length;
  });
  if (sets.length === 0) return undefined;
  return { text: result + text.toString("utf8", kept), sets };
}

/** Where the closing bracket of the list is. Told of each set of fields in it. */
function endOfList(
  text: Buffer,
  start: number,
  visit?: (known: KnownSet, open: number) => void,
): number {
  let position = start + listStart.length;
  for (;;) {
    const found = text.indexOf(fieldsStart, position);
    const limit = found < 0 ? text.length : found;
    const end = endOf(text, position, closingBracket, limit);
    if (end < limit || found < 0) return end;
    const open = found + fieldsStart.length - 1;
    const known = setAt(text, open);
    visit?.(known, open);
    position = open + known.bytes.length;
    // Nearly always the set ends its entry, and a look ahead for another one is a long one.
    if (text[position] === closingBrace && text[position + 1] === closingBracket) {
      return position + 1;
    }
  }
}

interface KnownSet {
  readonly bytes: Buffer;
  /** Read when it is first asked for. */
  set: FieldSet | undefined;
}

/** The last sets that were seen: most objects of a time are written by the same few programs. */
const lastSets: KnownSet[] = [];
const lastSetsMax = 8;

/** The set whose text begins here. One that was seen lately is known again by its bytes. */
function setAt(text: Buffer, open: number): KnownSet {
  for (const known of lastSets) {
    const end = open + known.bytes.length;
    if (end <= text.length && known.bytes.compare(text, open, end) === 0) return known;
  }
  const end = endOf(text, open, closingBrace) + 1;
  const seen = { bytes: Buffer.from(text.subarray(open, end)), set: undefined };
  lastSets.unshift(seen);
  if (lastSets.length > lastSetsMax) lastSets.pop();
  return seen;
}

/** Where the closing brace of the object is that begins here. */
export function endOfObject(text: Buffer, from: number): number {
  return endOf(text, from, closingBrace);
}

/**
 * Where the object that begins here ends (`closingBrace`), or where the list that this is part of
 * does (`closingBracket`); `limit`, if it does not before that.
 */
function endOf(text: Buffer, from: number, closing: number, limit: number = text.length): number {
  let depth = 0;
  for (let at = from; at < limit; at++) {
    const byte = text[at];
    if (byte === quote) at = endOfString(text, at) - 1;
    else if (closing === closingBracket) {
      if (byte === closing) return at;
    } else if (byte === openingBrace) depth += 1;
    else if (byte === closingBrace) {
      depth -= 1;
      if (depth === 0) return at;
    }
  }
  return limit;
}

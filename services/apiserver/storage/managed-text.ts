/**
 * Stored documents carry their managedFields first in their metadata, so that they are found in the
 * text without parsing it, and equal sets of fields are parsed once for all documents.
 */
import type { ManagedFieldsEntry } from "../../../proto/gen/meta.ts";
import { type FieldSet, sharedFieldsFromText, sharedFieldsText } from "../../kinds/mod.ts";

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
  let end = endOf(text, start + listStart.length, closingBracket) + 1;
  if (text[end] === comma) end += 1;
  // Without a comma behind it the list is the last of the metadata: the one before it goes.
  const kept = text[end - 1] !== comma && text[start - 1] === comma ? start - 1 : start;
  return Buffer.concat([text.subarray(0, kept), text.subarray(end)]);
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
  let position = start + listStart.length;
  for (;;) {
    const found = text.indexOf(fieldsStart, position);
    if (found < 0 || endOf(text, position, closingBracket) < found) break;
    const open = found + fieldsStart.length - 1;
    const { bytes, set } = setAt(text, open);
    const end = open + bytes.length;
    result += `${text.toString("utf8", kept, open)}${sets.length}`;
    sets.push(set);
    kept = end;
    position = end;
  }
  if (sets.length === 0) return undefined;
  return { text: result + text.toString("utf8", kept), sets };
}

interface ReadSet {
  readonly bytes: Buffer;
  readonly set: FieldSet;
}

/** The last sets that were read: most objects of a time are written by the same few programs. */
const lastSets: ReadSet[] = [];
const lastSetsMax = 8;

/** The set whose text begins here. One that was read lately is known again by its bytes. */
function setAt(text: Buffer, open: number): ReadSet {
  for (const known of lastSets) {
    const end = open + known.bytes.length;
    if (end <= text.length && known.bytes.compare(text, open, end) === 0) return known;
  }
  const end = endOf(text, open, closingBrace) + 1;
  const bytes = Buffer.from(text.subarray(open, end));
  const read = { bytes, set: sharedFieldsFromText(bytes.toString("utf8")) };
  lastSets.unshift(read);
  if (lastSets.length > lastSetsMax) lastSets.pop();
  return read;
}

const comma = 0x2c;
const quote = 0x22;
const backslash = 0x5c;
const openingBrace = 0x7b;
const closingBrace = 0x7d;
const closingBracket = 0x5d;

/** Where the closing brace of the object is that begins here. */
export function endOfObject(text: Buffer, from: number): number {
  return endOf(text, from, closingBrace);
}

/**
 * Where the object that begins here ends (`closingBrace`), or where the list that this is part of
 * does (`closingBracket`).
 */
function endOf(text: Buffer, from: number, closing: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const byte = text[at];
    if (byte === quote) {
      at += 1;
      while (text[at] !== quote && at < text.length) at += text[at] === backslash ? 2 : 1;
    } else if (closing === closingBracket) {
      if (byte === closing) return at;
    } else if (byte === openingBrace) depth += 1;
    else if (byte === closingBrace) {
      depth -= 1;
      if (depth === 0) return at;
    }
  }
  return text.length;
}

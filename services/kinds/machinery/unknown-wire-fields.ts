/**
 * Fields of an encoded message that `proto/` does not know. Decoding drops them without a word, so
 * they are looked for in the bytes themselves.
 */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { FieldSchema } from "../../../proto/gen/schema.ts";
import { limits } from "./limits.ts";
import { messageSchema } from "./schema.ts";

/** The place of a message within the whole; its text is made when it is needed. */
interface Place {
  readonly parent: Place | undefined;
  readonly name: string;
  readonly index: number | undefined;
}

interface NumberedField extends FieldSchema {
  readonly name: string;
}

/**
 * What is unknown in `bytes`, a message of the full name `message`: numbers that the message does not
 * have, and numbers it has with another wire type. At most `limits.errors` texts, such as
 * `unknown field 99 of "object.spec.containers[0]"`.
 *
 * Costs one pass over the bytes and no copy. Bytes that are no message throw the reader's error.
 */
export function unknownWireFields(message: string, bytes: Uint8Array): string[] {
  const unknown: string[] = [];
  if (isKnown({ bytes, at: 0 }, bytes.length, message, 0)) return unknown;
  scan(new BinaryReader(bytes), bytes.length, message, undefined, 0, unknown);
  return unknown;
}

interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

/**
 * Whether the message that ends at `end` has nothing unknown, as nearly all have. False where a look
 * at less than every form of encoding does not tell: `scan` knows, and says what it is.
 */
function isKnown(cursor: Cursor, end: number, message: string, depth: number): boolean {
  const fields = fieldsByNumber(message);
  while (cursor.at < end) {
    const tag = shortVarint(cursor);
    const field = fields.get(tag >>> 3);
    const wireType = tag & 7;
    if (field === undefined || !fits(field, wireType)) return false;
    if (wireType === WireType.LengthDelimited) {
      const inside = shortVarint(cursor);
      const insideEnd = cursor.at + inside;
      if (inside < 0 || insideEnd > end) return false;
      if (field.message === undefined || depth >= limits.depth) cursor.at = insideEnd;
      else if (field.map || !isKnown(cursor, insideEnd, field.message, depth + 1)) return false;
    } else if (wireType === WireType.Varint) {
      while ((cursor.bytes[cursor.at++] ?? 0) >= 0x80);
    } else if (wireType === WireType.Bit64) cursor.at += 8;
    else if (wireType === WireType.Bit32) cursor.at += 4;
    else return false;
  }
  return cursor.at === end;
}

/** Of three bytes at most; -1: it is longer, or the bytes end. */
function shortVarint(cursor: Cursor): number {
  const { bytes } = cursor;
  let result = 0;
  for (let shift = 0; shift < 21; shift += 7) {
    const byte = bytes[cursor.at++];
    if (byte === undefined) return -1;
    result |= (byte & 0x7f) << shift;
    if (byte < 0x80) return result;
  }
  return -1;
}

function scan(
  reader: BinaryReader,
  end: number,
  message: string,
  place: Place | undefined,
  depth: number,
  unknown: string[],
): void {
  const fields = fieldsByNumber(message);
  let counts: Map<number, number> | undefined;
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    const field = fields.get(number);
    if (field === undefined || !fits(field, wireType)) {
      note(unknown, number, place);
      reader.skip(wireType, number);
    } else if (field.message === undefined || depth >= limits.depth) {
      reader.skip(wireType, number);
    } else if (field.map) {
      const inside = { parent: place, name: field.name, index: undefined };
      scanEntry(reader, field.message, inside, depth + 1, unknown);
    } else {
      let index: number | undefined;
      if (field.repeated) {
        counts ??= new Map();
        index = counts.get(number) ?? 0;
        counts.set(number, index + 1);
      }
      const inside = { parent: place, name: field.name, index };
      scan(reader, endOf(reader), field.message, inside, depth + 1, unknown);
    }
  }
}

/** An entry of a map from text to messages: key = 1, value = 2. */
function scanEntry(
  reader: BinaryReader,
  message: string,
  place: Place,
  depth: number,
  unknown: string[],
): void {
  const end = endOf(reader);
  let key = "";
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    if (number === 1 && wireType === WireType.LengthDelimited) key = reader.string();
    else if (number === 2 && wireType === WireType.LengthDelimited) {
      const inside = { parent: place, name: key, index: undefined };
      scan(reader, endOf(reader), message, inside, depth, unknown);
    } else {
      note(unknown, number, place);
      reader.skip(wireType, number);
    }
  }
}

/** Where the message that begins here ends. */
function endOf(reader: BinaryReader): number {
  const length = reader.uint32();
  const end = reader.pos + length;
  if (end > reader.len) throw new RangeError("the message ends before its last field does");
  return end;
}

function fits(field: FieldSchema, wireType: WireType): boolean {
  if (field.map) return wireType === WireType.LengthDelimited;
  switch (field.type) {
    case "string":
    case "bytes":
    case "message":
    case "value":
    case "struct":
    case "texts":
      return wireType === WireType.LengthDelimited;
    default: {
      // Repeated scalars come packed or one by one.
      if (field.repeated && wireType === WireType.LengthDelimited) return true;
      const own = field.type === "double" ? WireType.Bit64 : WireType.Varint;
      return wireType === (field.wire ?? own);
    }
  }
}

function note(unknown: string[], number: number, place: Place | undefined): void {
  if (unknown.length >= limits.errors) return;
  const where = place === undefined ? "" : ` of ${JSON.stringify(textOf(place))}`;
  unknown.push(`unknown field ${number}${where}`);
}

function textOf({ parent, name, index }: Place): string {
  const own = index === undefined ? name : `${name}[${index}]`;
  return parent === undefined ? own : `${textOf(parent)}.${own}`;
}

const byNumber = new Map<string, ReadonlyMap<number, NumberedField>>();

function fieldsByNumber(message: string): ReadonlyMap<number, NumberedField> {
  let fields = byNumber.get(message);
  if (fields === undefined) {
    const entries = Object.entries(messageSchema(message).fields);
    fields = new Map(entries.map(([name, field]) => [field.number, { ...field, name }]));
    byNumber.set(message, fields);
  }
  return fields;
}

/**
 * Protobuf leaves the order of a map's entries open, and Go writes them in another order each time:
 * one message has many encodings. Who compares encodings compares what is made here.
 */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { FieldSchema } from "../../../proto/gen/schema.ts";
import { limits } from "./limits.ts";
import type { Resource } from "./resource.ts";
import { messageSchema } from "./schema.ts";

/**
 * The bytes of `bytes`, an encoded object of `resource`, as pieces that do not depend on
 * the order of its maps' entries: these come sorted, behind the rest of their message. Bytes that are
 * no message come back as they are, for the verb's own decoding refuses them in words.
 */
export function orderedPieces({ schema }: Resource, bytes: Uint8Array): readonly Uint8Array[] {
  const { message } = schema;
  if (message === undefined) return [bytes];
  const whole = { bytes, reader: new BinaryReader(bytes) };
  try {
    return gather(whole, partsOf(message), bytes.length, 0);
  } catch {
    return [bytes];
  }
}

/** A field that is a map, or a message with maps somewhere within. */
interface Part {
  readonly map: boolean;
  /** Of the message in the field, or of a map's entry. */
  readonly inner: () => Parts;
}

type Parts = ReadonlyMap<number, Part>;

interface Whole {
  readonly bytes: Uint8Array;
  readonly reader: BinaryReader;
}

/** Reads on to `end`. */
function gather({ bytes, reader }: Whole, parts: Parts, end: number, depth: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  const entries: Uint8Array[] = [];
  let begin = reader.pos;
  while (reader.pos < end) {
    const start = reader.pos;
    const [number, wireType] = reader.tag();
    const part = wireType === WireType.LengthDelimited ? parts.get(number) : undefined;
    if (part === undefined || depth >= limits.depth) {
      reader.skip(wireType, number);
      continue;
    }
    const length = reader.uint32();
    const next = reader.pos + length;
    if (next > end) throw new RangeError("the message ends before its last field does");
    pieces.push(bytes.subarray(begin, start));
    const head = bytes.subarray(start, reader.pos);
    const inside = gather({ bytes, reader }, part.inner(), next, depth + 1);
    if (part.map) entries.push(Buffer.concat([head, ...inside]));
    else pieces.push(head, ...inside);
    begin = next;
  }
  pieces.push(bytes.subarray(begin, end), ...entries.sort(Buffer.compare));
  return pieces;
}

const known = new Map<string, Parts>();

function partsOf(message: string): Parts {
  let parts = known.get(message);
  if (parts === undefined) {
    parts = new Map(
      Object.values(messageSchema(message).fields).flatMap((field) => {
        const part = partOf(field);
        return part === undefined ? [] : [[field.number, part] as const];
      }),
    );
    known.set(message, parts);
  }
  return parts;
}

function partOf({ type, map, message }: FieldSchema): Part | undefined {
  const inner = { struct: () => struct, value: () => value }[type as string];
  const parts = message === undefined ? inner : () => partsOf(message);
  if (map) return { map: true, inner: () => (parts === undefined ? noParts : entryOf(parts())) };
  if (parts === undefined || (message !== undefined && !hasMaps(message, []))) return undefined;
  return { map: false, inner: parts };
}

function hasMaps(message: string, above: readonly string[]): boolean {
  if (above.includes(message)) return false;
  const within = [...above, message];
  return Object.values(messageSchema(message).fields).some(
    ({ type, map, message: inner }) =>
      map || type === "struct" || type === "value" || (inner && hasMaps(inner, within)),
  );
}

const noParts: Parts = new Map();

/** An entry of a map: key = 1, value = 2. */
function entryOf(values: Parts): Parts {
  return new Map([[2, { map: false, inner: () => values }]]);
}

/** google.protobuf.Struct: fields = 1, a map of Values. */
const struct: Parts = new Map([[1, { map: true, inner: () => entryOf(value) }]]);

/** google.protobuf.ListValue: values = 1. */
const list: Parts = new Map([[1, { map: false, inner: () => value }]]);

/** google.protobuf.Value: struct_value = 5, list_value = 6. */
const value: Parts = new Map([
  [5, { map: false, inner: () => struct }],
  [6, { map: false, inner: () => list }],
]);

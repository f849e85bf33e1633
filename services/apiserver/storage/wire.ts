/**
 * Envelopes around messages that are encoded already. Every kind's List, Event and Write messages
 * have the same field numbers (proto/generate/complete.mjs), which is what makes this possible.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { assert } from "../../../ha/runtime/assert.ts";
import { StatusError } from "../../../ha/runtime/status-error.ts";
import { ListMeta, WriteOptions } from "../../../proto/gen/meta.ts";
import { apiVersionOf, type Document, type Resource } from "../../kinds/mod.ts";
import { badRequest } from "../errors.ts";

const field = (number: number) => (number << 3) | WireType.LengthDelimited;

/**
 * `<Kind>Event`: type = 1, object = 2; `WatchEvent` of the Dynamic service: type = 1, json = 2,
 * base = 3. A type is short, and ASCII, and so is a base.
 */
export function eventMessage(type: string, object: Uint8Array, base = ""): Uint8Array {
  const baseBytes = base === "" ? 0 : 2 + base.length;
  const message = new Uint8Array(2 + type.length + fieldBytes(object.length) + baseBytes);
  writeShort(message, 0, field(1), type);
  message.set(object, writeFieldHead(message, 2 + type.length, field(2), object.length));
  if (base !== "") writeShort(message, message.length - baseBytes, field(3), base);
  return message;
}

function writeShort(into: Uint8Array, at: number, tag: number, text: string): void {
  into[at] = tag;
  into[at + 1] = text.length;
  for (let i = 0; i < text.length; i++) into[at + 2 + i] = text.charCodeAt(i);
}

/** `<Kind>List` without its items: apiVersion = 1, kind = 2, metadata = 3. */
export function listHead(resource: Resource, metadata: ListMeta): Uint8Array {
  const writer = new BinaryWriter();
  writer.uint32(field(1)).string(apiVersionOf(resource));
  writer.uint32(field(2)).string(`${resource.kind}List`);
  writer.uint32(field(3)).bytes(ListMeta.encode(metadata).finish());
  return writer.finish();
}

/** The items of `<Kind>List`: items = 4. */
export const listItemTag = field(4);

/** Bytes of a message as a field with a tag of one byte. */
export function fieldBytes(length: number): number {
  return 1 + varintBytes(length) + length;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let left = value; left >= 0x80; left = Math.floor(left / 0x80)) bytes += 1;
  return bytes;
}

/** The tag and the length of a field. Answers where its bytes belong. */
export function writeFieldHead(into: Uint8Array, at: number, tag: number, length: number): number {
  into[at++] = tag;
  let left = length;
  for (; left >= 0x80; left = Math.floor(left / 0x80)) into[at++] = (left % 0x80) + 0x80;
  into[at++] = left;
  return at;
}

export interface WriteMessage {
  /** The object, still encoded. */
  readonly object: Uint8Array;
  readonly namespace: string | undefined;
  readonly options: WriteOptions;
}

/** `<Kind>Write`: object = 1, namespace = 2, options = 3. Throws BadRequest. */
export function decodeWrite(resource: Resource, bytes: Uint8Array): WriteMessage {
  return readingOf(`${resource.kind}Write`, () => {
    const reader = new BinaryReader(bytes);
    let object: Uint8Array | undefined;
    let namespace: string | undefined;
    let options: WriteOptions = {};
    while (reader.pos < reader.len) {
      const tag = reader.uint32();
      if (tag === field(1)) object = reader.bytes();
      else if (tag === field(2)) namespace = reader.string();
      else if (tag === field(3)) options = WriteOptions.decode(reader.bytes());
      else reader.skip(tag & 7, tag >>> 3);
    }
    if (object === undefined) throw badRequest(`${resource.kind}Write.object is required`);
    return { object, namespace, options };
  });
}

/** Throws BadRequest. */
export function decodeObject(resource: Resource, message: Uint8Array): Document {
  const { codec } = resource;
  assert(codec !== undefined, `${resource.plural} have a message`);
  return readingOf(resource.kind, () => codec.decode(message));
}

/**
 * Name and namespace of an encoded object, without decoding the rest. In every resource's message
 * metadata = 3 (proto/README.md), and in ObjectMeta name = 1, namespace = 3. Throws BadRequest.
 */
export function peekMetadata(
  resource: Resource,
  message: Uint8Array,
): { namespace: string | undefined; name: string | undefined } {
  return readingOf(resource.kind, () => {
    const reader = new BinaryReader(message);
    let name: string | undefined;
    let namespace: string | undefined;
    while (reader.pos < reader.len) {
      const tag = reader.uint32();
      if (tag !== field(3)) {
        reader.skip(tag & 7, tag >>> 3);
        continue;
      }
      const end = reader.uint32() + reader.pos;
      while (reader.pos < end) {
        const inner = reader.uint32();
        if (inner === field(1)) name = reader.string();
        else if (inner === field(3)) namespace = reader.string();
        else reader.skip(inner & 7, inner >>> 3);
      }
    }
    return { name, namespace };
  });
}

/** Errors of reading become BadRequest that names the message. */
export function readingOf<T>(message: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof StatusError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw badRequest(`the request is no ${message} message: ${why}`);
  }
}

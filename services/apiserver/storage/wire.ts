/**
 * Envelopes around messages that are encoded already. Every kind's List, Event and Write messages
 * have the same field numbers (proto/core.proto), which is what makes this possible.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { StatusError } from "../../../ha/runtime/status-error.ts";
import { ListMeta, WriteOptions } from "../../../proto/gen/meta.ts";
import { apiVersionOf, type Document, type Kind } from "../../kinds/mod.ts";
import { badRequest } from "../errors.ts";

const field = (number: number) => (number << 3) | WireType.LengthDelimited;

/** `<Kind>Event`: type = 1, object = 2. */
export function eventMessage(type: string, object: Uint8Array): Uint8Array {
  return new BinaryWriter().uint32(field(1)).string(type).uint32(field(2)).bytes(object).finish();
}

/** `<Kind>List`: apiVersion = 1, kind = 2, metadata = 3, items = 4. */
export function listMessage(
  kind: Kind,
  metadata: ListMeta,
  items: readonly Uint8Array[],
): Uint8Array {
  const writer = new BinaryWriter();
  writer.uint32(field(1)).string(apiVersionOf(kind));
  writer.uint32(field(2)).string(`${kind.kind}List`);
  writer.uint32(field(3)).bytes(ListMeta.encode(metadata).finish());
  for (const item of items) writer.uint32(field(4)).bytes(item);
  return writer.finish();
}

export interface WriteMessage {
  readonly document: Document;
  readonly namespace: string | undefined;
  readonly options: WriteOptions;
}

/** `<Kind>Write`: object = 1, namespace = 2, options = 3. Throws BadRequest. */
export function decodeWrite(kind: Kind, bytes: Uint8Array): WriteMessage {
  try {
    const reader = new BinaryReader(bytes);
    let document: Document | undefined;
    let namespace: string | undefined;
    let options: WriteOptions = {};
    while (reader.pos < reader.len) {
      const tag = reader.uint32();
      if (tag === field(1)) document = kind.codec.decode(reader.bytes());
      else if (tag === field(2)) namespace = reader.string();
      else if (tag === field(3)) options = WriteOptions.decode(reader.bytes());
      else reader.skip(tag & 7, tag >>> 3);
    }
    if (document === undefined) throw badRequest(`${kind.kind}Write.object is required`);
    return { document, namespace, options };
  } catch (error) {
    if (error instanceof StatusError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw badRequest(`the request is no ${kind.kind}Write message: ${why}`);
  }
}

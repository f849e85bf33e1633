/** Lists as messages of gRPC, which say their length first and are then made while they are sent. */
import { PiecewiseMessage, pieceTurns } from "../../../../ha/rpc/mod.ts";
import { Document as DocumentMessage } from "../../../../proto/gen/dynamic.ts";
import { apiVersionOf, listKindOf, type Resource } from "../../../kinds/mod.ts";
import type { StoredObject } from "../../storage/stored-object.ts";
import { fieldBytes, listHead, listItemTag, writeFieldHead } from "../../storage/wire.ts";
import type { Call, ListPage } from "../../verbs/mod.ts";
import { type ItemFormat, jsonFormat, ListPieces } from "../list-pieces.ts";

const nothing = new Uint8Array(0);

/** `<Kind>List`; `trimmed`: without managedFields. Rejects when the caller has left meanwhile. */
export async function typedList(
  resource: Resource,
  page: ListPage,
  { signal }: Pick<Call, "signal">,
  trimmed = false,
): Promise<ListMessage> {
  const { metadata, items, release } = page;
  const bytesOf = (object: StoredObject) => (trimmed ? object.trimmed : object.protobuf);
  const format: ItemFormat = {
    ...{ head: listHead(resource, metadata), separator: nothing, tail: nothing },
    itemsOfPiece: Number.POSITIVE_INFINITY,
    roomOf: (object) => fieldBytes(bytesOf(object).length),
    write: (object, into, at) => {
      const bytes = bytesOf(object);
      const start = writeFieldHead(into, at, listItemTag, bytes.length);
      into.set(bytes, start);
      return start + bytes.length;
    },
  };
  const made = ({ hasProtobuf, hasTrimmed }: StoredObject) => (trimmed ? hasTrimmed : hasProtobuf);
  const length = await lengthOf(page, format, format.roomOf, made, signal);
  return new ListMessage(length, new ListPieces(items, format, release));
}

/** The `Document` of the dynamic service whose text is the list. Rejects as `typedList`. */
export async function dynamicList(
  resource: Resource,
  page: ListPage,
  { signal, warnings }: Pick<Call, "signal" | "warnings">,
): Promise<ListMessage & DocumentMessage> {
  const { metadata, items, release } = page;
  const list = { apiVersion: apiVersionOf(resource), kind: listKindOf(resource), metadata };
  const json = jsonFormat(list, items);
  const lengthOfText = ({ jsonLength }: StoredObject) => jsonLength;
  const made = ({ hasProtobuf }: StoredObject) => hasProtobuf;
  const text = await lengthOf(page, json, lengthOfText, made, signal);
  const before = new Uint8Array(fieldBytes(text) - text);
  writeFieldHead(before, 0, jsonTag, text);
  const after = DocumentMessage.encode({ warnings }).finish();
  const format = {
    ...json,
    head: Buffer.concat([before, json.head]),
    tail: Buffer.concat([json.tail, after]),
  };
  const length = before.length + text + after.length;
  // In place of a message, as a handler may answer with it.
  return new ListMessage(length, new ListPieces(items, format, release)) as ListMessage &
    DocumentMessage;
}

/** `Document.json` = 1. */
const jsonTag = 0x0a;

/** Items of one step; making one of them may take some 50 µs, reading its length next to nothing. */
const itemsOfStep = 16;
/** So many lengths are added up without a pause. */
const lengthsAtOnce = 1_000;

/**
 * Of all items with what is around them; makes the bytes of those that have none yet. Releases the
 * page when that fails.
 */
async function lengthOf(
  { items, release }: ListPage,
  { head, separator, tail }: ItemFormat,
  bytesOf: (object: StoredObject) => number,
  made: (object: StoredObject) => boolean,
  signal: AbortSignal | undefined,
): Promise<number> {
  const between = Math.max(0, items.length - 1) * separator.length;
  let bytes = head.length + between + tail.length;
  let at = 0;
  const step = () => {
    const end = Math.min(items.length, at + itemsOfStep);
    while (at < end) bytes += bytesOf(items[at++] as StoredObject);
    return at < items.length;
  };
  const isQuick = items.length <= itemsOfStep || items.every(made);
  try {
    if (isQuick && items.length <= lengthsAtOnce) while (step());
    else await pieceTurns.inSlices(step, signal);
  } catch (thrown) {
    release();
    throw thrown;
  }
  return bytes;
}

class ListMessage extends PiecewiseMessage {
  readonly length: number;
  readonly #pieces: ListPieces;

  constructor(length: number, pieces: ListPieces) {
    super();
    this.length = length;
    this.#pieces = pieces;
  }

  next(room: number): Uint8Array {
    for (;;) {
      const piece = this.#pieces.next(room);
      if (piece === undefined) return nothing;
      if (piece.length > 0) return piece;
    }
  }

  override idle(): void {
    this.#pieces.idle();
  }

  close(): void {
    this.#pieces.close();
  }
}

/** Objects and lists in the form that the client asked for. */
import {
  type PieceSource,
  pieceBytes,
  pieceTurns,
  type ReadyIterator,
} from "../../../../ha/rpc/mod.ts";
import {
  apiVersionOf,
  type Column,
  type Document,
  listKindOf,
  type Resource,
  yamlText,
} from "../../../kinds/mod.ts";
import { limits } from "../../limits.ts";
import type { StoredObject } from "../../storage/stored-object.ts";
import type { ListPage } from "../../verbs/mod.ts";
import { type ItemFormat, jsonFormat, ListPieces, madeFormat } from "../list-pieces.ts";
import type { Accepted } from "./negotiate.ts";
import { notAcceptable } from "./negotiate.ts";
import { type IncludeObject, partialMetadata, tableHead, tableOf, tableRow } from "./table.ts";
import type { PieceBody } from "./types.ts";

/** How one answer is to look. */
export interface Form {
  readonly accepted: Accepted;
  readonly include: IncludeObject;
  readonly now: number;
  /** Indented, for people. */
  readonly pretty: boolean;
}

/** An object's JSON bytes in the form wanted. Throws NotAcceptable. */
export function objectBytes(object: StoredObject, form: Form): Uint8Array {
  const { as, apiVersion } = form.accepted;
  if (as === undefined) return object.json;
  if (as === "PartialObjectMetadata") return encode(partialMetadata(object.document, apiVersion));
  if (as !== "Table") throw notAcceptable();
  const { resourceVersion } = object.document.metadata ?? {};
  const metadata = resourceVersion === undefined ? {} : { resourceVersion };
  return encode(tableOf(object.resource, [object.document], { ...form, apiVersion, metadata }));
}

/** A document that is no stored object; only what has columns is shown as a table. */
export function documentBytes(
  document: object,
  columns: readonly Column[] | undefined,
  form: Form,
): Uint8Array {
  const { as, apiVersion } = form.accepted;
  if (as !== "Table" || columns === undefined) return encode(document);
  const shown = document as Document;
  const { resourceVersion } = shown.metadata ?? {};
  const metadata = resourceVersion === undefined ? {} : { resourceVersion };
  return encode(tableOf({ columns }, [shown], { ...form, apiVersion, metadata }));
}

/**
 * A page in the form wanted, as a whole or, a long one, as pieces that are made while it is sent:
 * however many clients read it at once, what is held is the cache's own text. Throws NotAcceptable.
 */
export function listBody(resource: Resource, page: ListPage, form: Form): Uint8Array | ListBody {
  const { items, release } = page;
  let isSent = false;
  try {
    const pieces = new ListPieces(items, formatOf(resource, page, form), release);
    let bytes = 0;
    for (const object of items) {
      bytes += object.size;
      // Its error must come before the head of the answer.
      if (!object.readable) object.text();
    }
    isSent = bytes >= limits.streamedListBytes;
    if (isSent) return new ListBody(pieces);
    const all: Uint8Array[] = [];
    for (let piece = next(pieces); piece !== undefined; piece = next(pieces)) all.push(piece);
    return Buffer.concat(all);
  } finally {
    if (!isSent) release();
  }
}

/** A piece of its own. */
function next(source: PieceSource): Uint8Array | undefined {
  const piece = source.next(pieceBytes.most);
  return piece === undefined ? undefined : Buffer.from(piece);
}

/** Each piece is made when its turn has come among all that this process makes. */
class ListBody implements ReadyIterator<Uint8Array>, PieceBody {
  readonly source: PieceSource;
  #closed = false;

  constructor(source: PieceSource) {
    this.source = source;
  }

  ready(): undefined {
    return undefined;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    if (this.#closed) return over;
    try {
      const value = await pieceTurns.piece(() => (this.#closed ? undefined : next(this.source)));
      return value === undefined ? this.return() : { done: false, value };
    } catch (thrown) {
      // Some readers do not return an iterator that has failed.
      await this.return();
      throw thrown;
    }
  }

  return(): Promise<IteratorResult<Uint8Array>> {
    if (!this.#closed) this.source.close();
    this.#closed = true;
    return Promise.resolve(over);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

const over = { done: true, value: undefined } as const;

/** What a list shows of itself and of each object. */
interface Shown {
  readonly head: object;
  /** The name of the array. */
  readonly field: string;
  /** Undefined: the object itself. */
  readonly partOf: ((object: StoredObject) => object) | undefined;
}

function formatOf(resource: Resource, page: ListPage, form: Form): ItemFormat {
  const { format } = form.accepted;
  const shown = shownOf(resource, page, form);
  const { head, field, partOf } = shown;
  if (format === "yaml") return yamlFormat(page, shown);
  if (form.pretty) return prettyFormat(page, shown);
  if (partOf === undefined) return jsonFormat(head, page.items);
  const start = `${JSON.stringify(head).slice(0, -1)},${JSON.stringify(field)}:[`;
  const textOf = (object: StoredObject) => JSON.stringify(partOf(object));
  return madeFormat({ head: start, separator: ",", tail: "]}" }, textOf);
}

function shownOf(resource: Resource, { metadata }: ListPage, form: Form): Shown {
  const { as, apiVersion } = form.accepted;
  switch (as) {
    case undefined: {
      const head = { kind: listKindOf(resource), apiVersion: apiVersionOf(resource), metadata };
      return { head, field: "items", partOf: undefined };
    }
    case "Table": {
      const about = { ...form, apiVersion, metadata };
      const partOf = (object: StoredObject) => tableRow(resource, object.read(), about);
      return { head: tableHead(resource, about), field: "rows", partOf };
    }
    case "PartialObjectMetadataList": {
      const partOf = (object: StoredObject) => partialMetadata(object.read(), apiVersion);
      return { head: { kind: as, apiVersion, metadata }, field: "items", partOf };
    }
    default:
      throw notAcceptable();
  }
}

/** The text that `JSON.stringify` gives for the whole with an indent of two. */
function prettyFormat({ items }: ListPage, { head, field, partOf }: Shown): ItemFormat {
  const begun = JSON.stringify({ ...head, [field]: [] }, null, 2).slice(0, -"]\n}".length);
  const tail = items.length === 0 ? "]\n}\n" : "\n  ]\n}\n";
  return madeFormat({ head: begun, separator: ",", tail }, (object) => {
    const value: unknown = partOf === undefined ? JSON.parse(object.text()) : partOf(object);
    return `\n    ${JSON.stringify(value, null, 2).replaceAll("\n", "\n    ")}`;
  });
}

/** The text that `yamlText` gives for the whole. */
function yamlFormat({ items }: ListPage, { head, field, partOf }: Shown): ItemFormat {
  if (items.length === 0) {
    return madeFormat({ head: yamlText({ ...head, [field]: [] }), separator: "", tail: "" }, none);
  }
  const start = `${field}:\n`;
  const begun = { head: `${yamlText(head)}${start}`, separator: "", tail: "" };
  return madeFormat(begun, (object) => {
    const text = partOf === undefined ? object.text() : JSON.stringify(partOf(object));
    // Parsed anew: of what a document shows twice, YAML would make references.
    return yamlText({ [field]: [JSON.parse(text) as unknown] }).slice(start.length);
  });
}

function none(): string {
  return "";
}

function encode(document: unknown): Buffer {
  return Buffer.from(JSON.stringify(document));
}

/** Objects as `Table` and as `PartialObjectMetadata` of meta.k8s.io (apiserver `handlers/response.go`). */
import type { ListMeta } from "../../../../proto/gen/meta.ts";
import type { Cell, Column, Document, Resource } from "../../../kinds/mod.ts";
import { badRequest } from "../../errors.ts";

/** How much of its object a row carries. */
export type IncludeObject = "None" | "Metadata" | "Object";

/** Throws BadRequest. */
export function includeObjectOf(text: string | null): IncludeObject {
  if (text === null || text === "") return "Metadata";
  if (text === "None" || text === "Metadata" || text === "Object") return text;
  throw badRequest(
    `includeObject: Invalid value: ${JSON.stringify(text)}: must be None, Metadata or Object`,
  );
}

export interface TableForm {
  readonly apiVersion: string;
  readonly include: IncludeObject;
  readonly metadata: ListMeta;
  /** Unix milliseconds. */
  readonly now: number;
  /** False: the client knows the columns already. */
  readonly headers?: boolean;
}

export function tableOf(
  resource: Pick<Resource, "columns">,
  documents: readonly Document[],
  form: TableForm,
) {
  const rows = documents.map((document) => tableRow(resource, document, form));
  return { ...tableHead(resource, form), rows };
}

/** A table without its rows. */
export function tableHead({ columns }: Pick<Resource, "columns">, form: TableForm) {
  const { apiVersion, metadata, headers = true } = form;
  const columnDefinitions = headers ? columns.map(definitionOf) : [];
  return { kind: "Table", apiVersion, metadata, columnDefinitions };
}

export function tableRow(
  { columns }: Pick<Resource, "columns">,
  document: Document,
  { apiVersion, include, now }: TableForm,
) {
  const cells = columns.map((column) => cellOf(column, document, now));
  if (include === "None") return { cells };
  const object = include === "Object" ? document : partialMetadata(document, apiVersion);
  return { cells, object };
}

const definitions = new WeakMap<Column, object>();

function definitionOf(column: Column): object {
  let definition = definitions.get(column);
  if (definition === undefined) {
    const { name, type = "string", format = "", description = "", wide } = column;
    const { priority = wide ? 1 : 0 } = column;
    definition = { name, type, format, description, priority };
    definitions.set(column, definition);
  }
  return definition;
}

function cellOf(column: Column, document: Document, now: number): Cell {
  const value = column.value(document, now);
  if (typeof value !== "string") return value;
  switch (column.type) {
    case "integer":
    case "number":
      return value.trim() !== "" && Number.isFinite(Number(value)) ? Number(value) : value;
    case "boolean":
      return value === "true" ? true : value === "false" ? false : value;
    default:
      return value;
  }
}

export function partialMetadata(document: Document, apiVersion: string) {
  const { metadata = {} } = document;
  return { kind: "PartialObjectMetadata", apiVersion, metadata };
}

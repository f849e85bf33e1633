/** The columns in which lists of custom resources are shown. */
import type { CustomResourceColumnDefinition } from "../../../proto/gen/apiextensions.ts";
import { parseJsonPath, printed } from "../../kinds/machinery/json-path.ts";
import { age } from "../../kinds/machinery/time.ts";
import { ageColumn, type Cell, type Column, nameColumn } from "../../kinds/mod.ts";

/** The name, then the columns of the definition; without any, the age. */
export function columnsOf(
  definitions: readonly CustomResourceColumnDefinition[] | undefined,
): Column[] {
  if (definitions === undefined || definitions.length === 0) return [nameColumn, ageColumn];
  return [nameColumn, ...definitions.map(columnOf)];
}

type ColumnType = NonNullable<Column["type"]>;

function columnOf(definition: CustomResourceColumnDefinition): Column {
  const { name = "", format, description, priority = 0, jsonPath = "" } = definition;
  const type = (definition.type ?? "string") as ColumnType;
  const path = parseJsonPath(jsonPath);
  return {
    name,
    type,
    format,
    description:
      description ?? `Custom resource definition column (in JSONPath format): ${jsonPath}`,
    ...(priority > 0 && { wide: true as const }),
    priority,
    value: (document, now) => cellOf(type, path.find(document)[0], now),
  };
}

/** As upstream: a value of another type than the column's is no value. */
function cellOf(type: ColumnType, value: unknown, now: number): Cell {
  if (value === undefined || value === null) return null;
  switch (type) {
    case "string":
      return printed(value);
    case "integer":
      return typeof value === "number" ? Math.trunc(value) : null;
    case "number":
      return typeof value === "number" ? value : null;
    case "boolean":
      return typeof value === "boolean" ? value : null;
    case "date":
      return typeof value === "string" ? dateCell(value, now) : null;
  }
}

function dateCell(value: string, now: number): string {
  const text = age(value, now);
  return text === "<unknown>" ? "<invalid>" : text;
}

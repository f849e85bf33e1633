/** The parts of a definition that point into its objects. */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type {
  CustomResourceColumnDefinition,
  CustomResourceSubresourceScale,
  SelectableField,
} from "../../../../proto/gen/apiextensions.ts";
import { duplicate, invalid, required } from "../../machinery/causes.ts";
import { parseJsonPath } from "../../machinery/json-path.ts";
import { childOf, type SchemaNode } from "../../machinery/structural/node.ts";

export function validateScale(scale: CustomResourceSubresourceScale, path: string): FieldCause[] {
  const { specReplicasPath = "", statusReplicasPath = "", labelSelectorPath = "" } = scale;
  const causes: FieldCause[] = [];
  const check = (field: string, value: string, roots: readonly string[], where: string) => {
    const at = `${path}.scale.${field}`;
    if (!value.startsWith(".")) {
      causes.push(invalid(at, value, "must be a simple json path starting with ."));
    } else if (!roots.some((root) => value.startsWith(`.${root}.`))) {
      causes.push(invalid(at, value, `should be a json path under ${where}`));
    }
  };
  if (specReplicasPath === "") causes.push(required(`${path}.scale.specReplicasPath`));
  else check("specReplicasPath", specReplicasPath, ["spec"], ".spec");
  if (statusReplicasPath === "") causes.push(required(`${path}.scale.statusReplicasPath`));
  else check("statusReplicasPath", statusReplicasPath, ["status"], ".status");
  if (labelSelectorPath !== "") {
    check("labelSelectorPath", labelSelectorPath, ["spec", "status"], "either .spec or .status");
  }
  return causes;
}

const columnTypes = ["boolean", "date", "integer", "number", "string"];
const columnFormats = [
  "byte",
  "date",
  "date-time",
  "double",
  "float",
  "int32",
  "int64",
  "password",
];

export function validateColumns(
  columns: readonly CustomResourceColumnDefinition[],
  path: string,
): FieldCause[] {
  return columns.flatMap((column, index) => validateColumn(column, `${path}[${index}]`));
}

function validateColumn(column: CustomResourceColumnDefinition, at: string): FieldCause[] {
  const { name = "", type = "", format = "", jsonPath = "" } = column;
  const causes: FieldCause[] = [];
  if (name === "") causes.push(required(`${at}.name`));
  const types = `must be one of ${columnTypes.join(",")}`;
  if (type === "") causes.push(required(`${at}.type`, types));
  else if (!columnTypes.includes(type)) causes.push(invalid(`${at}.type`, type, types));
  if (format !== "" && !columnFormats.includes(format)) {
    causes.push(invalid(`${at}.format`, format, `must be one of ${columnFormats.join(",")}`));
  }
  const field = `${at}.JSONPath`;
  if (jsonPath === "") causes.push(required(field));
  else if (!jsonPath.startsWith(".")) {
    causes.push(invalid(field, jsonPath, "must be a simple json path starting with ."));
  } else {
    const problem = pathProblem(jsonPath);
    if (problem !== undefined) causes.push(invalid(field, jsonPath, problem));
  }
  return causes;
}

function pathProblem(path: string): string | undefined {
  try {
    parseJsonPath(path);
    return undefined;
  } catch (thrown) {
    return `is an invalid path: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
  }
}

const selectableFieldsMax = 8;
const simplePath = /^(\.[A-Za-z_][A-Za-z0-9_-]*)+$/;

/** Why a path is no path of fields, in the words of upstream's parser. */
function pathFault(path: string): string {
  if (path.includes("[")) return "array notation is not allowed";
  if (!path.startsWith(".")) return `expected [ or . but got: ${path}`;
  return path === "." ? "unexpected end of JSON path" : "does not refer to a valid field";
}

/** The names of the fields on a path such as `.spec.color`; undefined: it is not so simple. */
export function simplePathOf(path: string): string[] | undefined {
  return simplePath.test(path) ? path.slice(1).split(".") : undefined;
}

export function validateSelectableFields(
  fields: readonly SelectableField[],
  schema: SchemaNode,
  path: string,
): FieldCause[] {
  const causes: FieldCause[] = [];
  const seen = new Set<string>();
  for (const [index, { jsonPath = "" }] of fields.entries()) {
    const at = `${path}[${index}].jsonPath`;
    if (jsonPath === "") {
      causes.push(required(at));
      continue;
    }
    const names = simplePathOf(jsonPath);
    const found = names === undefined ? pathFault(jsonPath) : schemaAt(schema, names);
    if (typeof found === "string") {
      causes.push(invalid(at, jsonPath, `is an invalid path: ${found}`));
      continue;
    }
    if (names?.[0] === "metadata") {
      causes.push(invalid(at, jsonPath, "must not point to fields in metadata"));
    }
    if (!["string", "boolean", "integer"].includes(found.props.type ?? "")) {
      const detail =
        "must point to a field of type string, boolean or integer. Enum string fields and " +
        "strings with formats are allowed.";
      causes.push(invalid(at, jsonPath, detail));
    }
    if (seen.has(jsonPath)) causes.push(duplicate(at, jsonPath));
    seen.add(jsonPath);
  }
  if (seen.size > selectableFieldsMax) {
    const message = `Too many: ${seen.size}: must have at most ${selectableFieldsMax} items`;
    causes.push({ reason: "FieldValueTooMany", field: path, message });
  }
  return causes;
}

function schemaAt(root: SchemaNode, names: readonly string[]): SchemaNode | string {
  let node = root;
  for (const name of names) {
    const next = childOf(node, name);
    if (next === undefined || next === true) return `does not refer to a valid field`;
    node = next;
  }
  return node;
}

/**
 * Field errors in Kubernetes' words (apimachinery `util/validation/field`): reason, message and
 * path are what kubectl prints and what clients compare.
 */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";

export function required(field: string, detail = ""): FieldCause {
  return cause(
    "FieldValueRequired",
    field,
    detail === "" ? "Required value" : `Required value: ${detail}`,
  );
}

export function invalid(field: string, value: unknown, detail: string): FieldCause {
  return cause("FieldValueInvalid", field, `Invalid value: ${show(value)}: ${detail}`);
}

export function notSupported(
  field: string,
  value: unknown,
  supported: readonly string[],
): FieldCause {
  return notSupportedInOrder(field, value, [...supported].sort());
}

/** As {@link notSupported}, for the fields whose values upstream lists in an order of their own. */
export function notSupportedInOrder(
  field: string,
  value: unknown,
  supported: readonly string[],
): FieldCause {
  const list = supported.map((each) => JSON.stringify(each)).join(", ");
  const detail = list === "" ? "" : `: supported values: ${list}`;
  return cause("FieldValueNotSupported", field, `Unsupported value: ${show(value)}${detail}`);
}

export function forbidden(field: string, detail: string): FieldCause {
  return cause("FieldValueForbidden", field, `Forbidden: ${detail}`);
}

export function duplicate(field: string, value: unknown, detail = ""): FieldCause {
  const tail = detail === "" ? "" : `: ${detail}`;
  return cause("FieldValueDuplicate", field, `Duplicate value: ${show(value)}${tail}`);
}

export function notFound(field: string, value: unknown, detail = ""): FieldCause {
  const tail = detail === "" ? "" : `: ${detail}`;
  return cause("FieldValueNotFound", field, `Not found: ${show(value)}${tail}`);
}

export function tooLong(field: string, bytesMax: number): FieldCause {
  const detail = bytesMax < 0 ? "value is too long" : `may not be more than ${bytesMax} bytes`;
  return cause("FieldValueTooLong", field, `Too long: ${detail}`);
}

export function tooMany(field: string, count: number, countMax: number): FieldCause {
  const items = countMax === 1 ? "item" : "items";
  const detail = `must have at most ${countMax} ${items}`;
  return cause("FieldValueTooMany", field, `Too many: ${count}: ${detail}`);
}

/** As {@link invalid}, where upstream says no more than that. */
export function invalidValue(field: string, value: unknown): FieldCause {
  return cause("FieldValueInvalid", field, `Invalid value: ${show(value)}`);
}

/** As {@link invalid}, where the value would say too much or nothing. */
export function invalidOmitted(field: string, detail: string): FieldCause {
  return cause("FieldValueInvalid", field, `Invalid value: ${detail}`);
}

/** Wrong JSON type, as upstream words it for values of the wrong shape. */
export function typeInvalid(field: string, value: unknown, detail: string): FieldCause {
  return cause("FieldValueTypeInvalid", field, `Invalid value: ${show(value)}: ${detail}`);
}

function cause(reason: string, field: string, message: string): FieldCause {
  return { reason, message, field };
}

/** As Go writes JSON, which might stand in a page. */
function escaped(character: string): string {
  return `\\u00${character.charCodeAt(0).toString(16)}`;
}

const shownLength = 1_000;

/** A value as it stands in a message: JSON, cut where it would drown the message. */
function show(value: unknown): string {
  const json = value === undefined ? "null" : JSON.stringify(value);
  const text = typeof value === "object" ? json.replace(/[<>&]/g, escaped) : json;
  return text.length <= shownLength ? text : `${text.slice(0, shownLength)}…`;
}

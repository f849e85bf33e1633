/**
 * What Go's JSON decoder says of a document that does not fit its type: clients of Kubernetes know
 * these texts (`encoding/json`, `apimachinery`). Only asked for once a document has been refused.
 */
import { type FieldSchema, type MessageSchema, messages } from "../../../proto/gen/schema.ts";
import { base64Fault } from "./base64.ts";
import { goTypes, structNames } from "./go-types.ts";
import { isObject } from "./json.ts";
import { parseQuantity, quantityMessage } from "./quantity.ts";
import { type Nature, traitsOf } from "./schema.ts";
import { parseTime } from "./time.ts";

/** Times of microseconds; all others are of seconds. */
const microTimes: ReadonlySet<string> = new Set([
  "LeaseSpec.acquireTime",
  "LeaseSpec.renewTime",
  "Event.eventTime",
  "EventSeries.lastObservedTime",
]);

/** The error of decoding `json` as this message; undefined: there is none, or none that is known. */
export function goDecodingError(message: string, json: unknown): string | undefined {
  const decoder = new Decoder();
  try {
    if (isObject(json)) decoder.fields(message, json, []);
  } catch (thrown) {
    if (thrown instanceof Stop) return thrown.message;
    throw thrown;
  }
  return decoder.first;
}

/** Types that decode themselves end the decoding; what else is wrong is told at its end. */
class Stop extends Error {}

/** A value's place: the struct it is a field of, and the names of fields on the way to it. */
interface Place {
  readonly struct: string;
  readonly trail: readonly string[];
}

class Decoder {
  first: string | undefined;

  fields(message: string, json: Record<string, unknown>, trail: readonly string[]): void {
    const { fields } = messages[message] as MessageSchema;
    const struct = shortName(message);
    for (const [name, value] of Object.entries(json)) {
      const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
      if (field === undefined || value === null) continue;
      const place = { struct, trail: [...trail, name] };
      this.#field(field, traitsOf(message, name, field).nature, value, place);
    }
  }

  #field(field: FieldSchema, nature: Nature, json: unknown, place: Place): void {
    const named = goTypes[fieldName(place)];
    const ownMap = named?.startsWith("map ") ? named.slice("map ".length) : undefined;
    const type = (ownMap === undefined ? named : undefined) ?? goType(field);
    const elements = (values: readonly unknown[]) => {
      for (const each of values) if (each !== null) this.#value(field, nature, each, type, place);
    };
    if (field.repeated) {
      if (Array.isArray(json)) elements(json);
      else this.#save(mismatch(jsonKind(json), `[]${type}`, place));
    } else if (field.map) {
      if (isObject(json)) elements(Object.values(json));
      else this.#save(mismatch(jsonKind(json), ownMap ?? `map[string]${type}`, place));
    } else elements([json]);
  }

  #value(field: FieldSchema, nature: Nature, json: unknown, type: string, place: Place): void {
    if (field.type === "message" && isObject(json)) {
      this.fields(field.message ?? "", json, place.trail);
    } else this.#save(scalarError(field, nature, json, type, place));
  }

  #save(error: string | undefined): void {
    this.first ??= error;
  }
}

function scalarError(
  field: FieldSchema,
  nature: Nature,
  json: unknown,
  type: string,
  place: Place,
): string | undefined {
  const wrong = mismatch(jsonKind(json), type, place);
  if (nature === "quantity") return checkQuantity(json);
  if (nature === "time") return checkTime(json, place);
  if (nature === "base64" || field.type === "bytes") {
    if (typeof json !== "string") return mismatch(jsonKind(json), "[]uint8", place);
    const at = base64Fault(json);
    return at === undefined ? undefined : `illegal base64 data at input byte ${at}`;
  }
  switch (field.type) {
    case "string":
    case "enum":
      return typeof json === "string" ? undefined : wrong;
    case "bool":
      return typeof json === "boolean" ? undefined : wrong;
    case "double":
      return typeof json === "number" ? undefined : wrong;
    case "int":
      return integerError(json, 2 ** 31, type, place);
    case "long":
      return integerError(json, 2 ** 63, type, place);
    case "value":
      return typeof json === "string" ? undefined : integerError(json, 2 ** 31, "int32", place);
    case "texts":
      return textsError(json, place);
    case "struct":
      return undefined;
    case "message":
      return wrong;
  }
}

/** Of a signed integer from -bound to bound - 1. */
function integerError(
  json: unknown,
  bound: number,
  type: string,
  place: Place,
): string | undefined {
  if (typeof json !== "number") return mismatch(jsonKind(json), type, place);
  if (Number.isInteger(json) && json >= -bound && json < bound) return undefined;
  return mismatch(`number ${json}`, type, place);
}

function textsError(json: unknown, place: Place): string | undefined {
  if (!Array.isArray(json)) return mismatch(jsonKind(json), "[]string", place);
  const strange = json.find((each) => typeof each !== "string");
  return strange === undefined ? undefined : mismatch(jsonKind(strange), "string", place);
}

function checkQuantity(json: unknown): undefined {
  const known = typeof json === "string" || typeof json === "number";
  if (!known || parseQuantity(String(json).trim()) === undefined) throw new Stop(quantityMessage);
}

function checkTime(json: unknown, place: Place): undefined {
  if (typeof json !== "string") throw new Stop(mismatch(jsonKind(json), "string", place));
  const error = goTimeError(json, microTimes.has(fieldName(place)));
  if (error !== undefined) throw new Stop(error);
}

/** As in `PodSpec.restartPolicy`. */
function fieldName({ struct, trail }: Place): string {
  return `${struct}.${trail.at(-1)}`;
}

function mismatch(given: string, type: string, { struct, trail }: Place): string {
  const where = `Go struct field ${struct}.${trail.join(".")}`;
  return `json: cannot unmarshal ${given} into ${where} of type ${type}`;
}

function jsonKind(json: unknown): string {
  if (Array.isArray(json)) return "array";
  return typeof json === "boolean" ? "bool" : typeof json;
}

/** Of one value, of a field whose type has no name of its own. */
function goType(field: FieldSchema): string {
  switch (field.type) {
    case "string":
    case "enum":
      return "string";
    case "int":
      return "int32";
    case "long":
      return "int64";
    case "double":
      return "float64";
    case "bytes":
      return "[]uint8";
    case "texts":
      return "[]string";
    case "message":
      return `${packageName(field.message ?? "")}.${shortName(field.message ?? "")}`;
    case "bool":
      return "bool";
    case "value":
      return "intstr.IntOrString";
    case "struct":
      return "runtime.RawExtension";
  }
}

function shortName(message: string): string {
  const name = message.slice(message.lastIndexOf(".") + 1);
  return structNames[name] ?? name;
}

/** The last part of a message's package: its version. */
function packageName(message: string): string {
  return message.split(".").at(-2) ?? "";
}

const seconds = ["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05"];

/** Upstream reads times of seconds and of microseconds by layouts that Go's `time.Parse` follows. */
function goTimeError(text: string, micro: boolean): string | undefined {
  const layout = `2006-01-02T15:04:05${micro ? ".000000" : ""}Z07:00`;
  const failed = (rest: string, part: string) =>
    `parsing time ${JSON.stringify(text)} as "${layout}": cannot parse ${JSON.stringify(rest)} as "${part}"`;
  let rest = text;
  for (const part of seconds) {
    const literal = !/\d/.test(part);
    const fits = literal ? rest.startsWith(part) : /^\d+$/.test(rest.slice(0, part.length));
    if (!fits || rest.length < part.length) return failed(rest, part);
    rest = rest.slice(part.length);
  }
  const fraction = /^[.,]\d+/.exec(rest)?.[0] ?? "";
  if (micro && fraction.length !== 7) return failed(rest, ".000000");
  rest = rest.slice(fraction.length);
  const zone = /^(?:Z|[+-]\d\d:\d\d)/.exec(rest)?.[0];
  if (zone === undefined) return failed(rest, "Z07:00");
  if (rest !== zone) {
    return `parsing time ${JSON.stringify(text)}: extra text: ${JSON.stringify(rest.slice(zone.length))}`;
  }
  return parseTime(text) === undefined ? outOfRange(text) : undefined;
}

function outOfRange(text: string): string {
  const [month, hour, minute, second] = [
    [5, 7],
    [11, 13],
    [14, 16],
    [17, 19],
  ].map(([from, to]) => Number(text.slice(from, to)));
  const wrong =
    month === undefined || month < 1 || month > 12
      ? "month"
      : (hour ?? 0) > 23
        ? "hour"
        : (minute ?? 0) > 59
          ? "minute"
          : (second ?? 0) > 59
            ? "second"
            : "day";
  return `parsing time ${JSON.stringify(text)}: ${wrong} out of range`;
}

/**
 * Objects in Kubernetes' own protobuf encoding, as typed clients of client-go send them, to the JSON
 * that they stand for. The envelope is apimachinery's `runtime.Unknown` behind four magic bytes.
 */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { rfc3339Micro, rfc3339Seconds } from "../../../../kinds/mod.ts";
import { badRequest } from "../../../errors.ts";
import {
  type FieldType,
  type Message,
  messageOf,
  messageOfKind,
  type SpecialType,
} from "./messages.ts";

export interface DecodedObject {
  readonly value: unknown;
  /** Fields that the table does not know, which are dropped. */
  readonly unknown: readonly string[];
}

const magic = Buffer.from("k8s\0", "latin1");
const depthMax = 64;
const unknownMax = 20;

/** Undefined: the encoding of that kind is not known here. Throws BadRequest. */
export function decodeProtobuf(bytes: Uint8Array): DecodedObject | undefined {
  if (bytes.length < magic.length || Buffer.compare(bytes.subarray(0, 4), magic) !== 0) {
    throw badRequest("the protobuf body does not begin with the bytes 6b 38 73 00");
  }
  try {
    const { apiVersion, kind, raw } = envelopeOf(bytes.subarray(magic.length));
    const message = messageOfKind(apiVersion, kind);
    if (message === undefined) return undefined;
    const reading: Reading = { unknown: [] };
    const value = messageValue(message, new BinaryReader(raw), raw.length, kind, reading, 0);
    return { value: { kind, apiVersion, ...value }, unknown: reading.unknown };
  } catch (thrown) {
    if (!(thrown instanceof RangeError) && !(thrown instanceof Error)) throw thrown;
    throw badRequest(`the protobuf body cannot be decoded: ${thrown.message}`);
  }
}

interface Reading {
  readonly unknown: string[];
}

/** `Unknown`: typeMeta = 1 (apiVersion = 1, kind = 2), raw = 2. */
function envelopeOf(bytes: Uint8Array) {
  const reader = new BinaryReader(bytes);
  let apiVersion = "";
  let kind = "";
  let raw: Uint8Array = new Uint8Array();
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (field === 1 && wire === WireType.LengthDelimited) {
      const meta = new BinaryReader(reader.bytes());
      while (meta.pos < meta.len) {
        const [inner, innerWire] = meta.tag();
        if (inner === 1) apiVersion = meta.string();
        else if (inner === 2) kind = meta.string();
        else meta.skip(innerWire, inner);
      }
    } else if (field === 2 && wire === WireType.LengthDelimited) raw = reader.bytes();
    else reader.skip(wire, field);
  }
  return { apiVersion, kind, raw };
}

function messageValue(
  message: Message,
  reader: BinaryReader,
  end: number,
  path: string,
  reading: Reading,
  depth: number,
): Record<string, unknown> {
  if (depth > depthMax) throw new Error(`nested more than ${depthMax} levels deep`);
  const value: Record<string, unknown> = {};
  while (reader.pos < end) {
    const [number, wire] = reader.tag();
    const field = message.get(number);
    if (field === undefined) {
      if (reading.unknown.length < unknownMax) {
        reading.unknown.push(`unknown field "${path}" number ${number} of the protobuf encoding`);
      }
      reader.skip(wire, number);
      continue;
    }
    const { name, type, omitZero } = field;
    if (type.form === "list") {
      value[name] ??= [];
      const list = value[name] as unknown[];
      if (isPacked(type.element, wire)) {
        const stop = reader.uint32() + reader.pos;
        while (reader.pos < stop) list.push(readValue(type.element, reader, name, reading, depth));
      } else list.push(readValue(type.element, reader, name, reading, depth));
    } else if (type.form === "map") {
      const [key, entry] = entryOf(type.element, reader, name, reading, depth);
      value[name] ??= {};
      const map = value[name] as Record<string, unknown>;
      Object.defineProperty(map, key, { value: entry, ...plainProperty });
    } else {
      const found = readValue(type, reader, `${path}.${name}`, reading, depth);
      if (name === "") Object.assign(value, found);
      else if (found !== undefined && !(omitZero && isZero(found))) value[name] = found;
    }
  }
  return value;
}

const plainProperty = { enumerable: true, configurable: true, writable: true } as const;

function isPacked(element: FieldType, wire: WireType): boolean {
  if (element.form !== "scalar" || wire !== WireType.LengthDelimited) return false;
  return element.type === "i" || element.type === "b" || element.type === "d";
}

function isZero(value: unknown): boolean {
  return value === "" || value === 0 || value === false;
}

function readValue(
  type: FieldType,
  reader: BinaryReader,
  path: string,
  reading: Reading,
  depth: number,
): unknown {
  switch (type.form) {
    case "scalar":
      return scalarOf(type.type, reader);
    case "special":
      return specialOf(type.type, reader.bytes());
    case "message": {
      const end = reader.uint32() + reader.pos;
      if (end > reader.len) throw new Error("premature end of the message");
      const message = messageOf(type.name);
      return chosen(message, messageValue(message, reader, end, path, reading, depth + 1));
    }
    case "list":
      return itemsOf(type.element, reader.bytes(), path, reading, depth);
    default:
      throw new Error(`a map within ${path}`);
  }
}

/** What a message of alternatives stands for; any other is itself. */
function chosen(message: Message, value: Record<string, unknown>): unknown {
  let found: unknown = value;
  for (const { name, alternative } of message.values()) {
    if (alternative && value[name] !== undefined) found = value[name];
  }
  return found;
}

function scalarOf(type: "s" | "b" | "i" | "d" | "bytes", reader: BinaryReader): unknown {
  switch (type) {
    case "s":
      return reader.string();
    case "b":
      return reader.bool();
    case "i":
      return Number(reader.int64());
    case "d":
      return reader.double();
    case "bytes":
      return Buffer.from(reader.bytes()).toString("base64");
  }
}

/** A list that is the value of a map has a message of its own: items = 1. */
function itemsOf(
  element: FieldType,
  bytes: Uint8Array,
  path: string,
  reading: Reading,
  depth: number,
): unknown[] {
  const reader = new BinaryReader(bytes);
  const items: unknown[] = [];
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    if (number === 1) items.push(readValue(element, reader, path, reading, depth + 1));
    else reader.skip(wire, number);
  }
  return items;
}

/** Key = 1, value = 2. */
function entryOf(
  element: FieldType,
  reader: BinaryReader,
  path: string,
  reading: Reading,
  depth: number,
): [string, unknown] {
  const entry = new BinaryReader(reader.bytes());
  let key = "";
  let value: unknown = emptyOf(element);
  while (entry.pos < entry.len) {
    const [number, wire] = entry.tag();
    if (number === 1) key = entry.string();
    else if (number === 2) value = readValue(element, entry, path, reading, depth + 1);
    else entry.skip(wire, number);
  }
  return [key, value];
}

function emptyOf(element: FieldType): unknown {
  if (element.form === "scalar")
    return element.type === "i" ? 0 : element.type === "b" ? false : "";
  return element.form === "list" ? [] : element.form === "special" ? "0" : {};
}

/** Numbers and texts of a small message, by their field numbers. */
function partsOf(bytes: Uint8Array): {
  numbers: Map<number, number>;
  bytes: Map<number, Uint8Array>;
} {
  const reader = new BinaryReader(bytes);
  const numbers = new Map<number, number>();
  const texts = new Map<number, Uint8Array>();
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    if (wire === WireType.Varint) numbers.set(number, Number(reader.int64()));
    else if (wire === WireType.LengthDelimited) texts.set(number, reader.bytes());
    else reader.skip(wire, number);
  }
  return { numbers, bytes: texts };
}

function specialOf(type: SpecialType, bytes: Uint8Array): unknown {
  const { numbers, bytes: texts } = partsOf(bytes);
  const text = (number: number) => Buffer.from(texts.get(number) ?? []).toString("utf8");
  switch (type) {
    case "time":
    case "microtime": {
      if (numbers.size === 0) return undefined;
      const millis = 1000 * (numbers.get(1) ?? 0);
      if (type === "time") return rfc3339Seconds(millis);
      const micros = Math.floor((numbers.get(2) ?? 0) / 1000);
      return rfc3339Micro(millis + Math.floor(micros / 1000), micros % 1000);
    }
    case "duration":
      return `${(numbers.get(1) ?? 0) / 1e9}s`;
    case "quantity":
      return text(1);
    case "intstr":
      return numbers.get(1) === 1 ? text(3) : (numbers.get(2) ?? 0);
    case "raw": {
      const json = text(1);
      return json === "" ? undefined : (JSON.parse(json) as unknown);
    }
  }
}

/**
 * The record of what was released on the wire (proto/released.txt), and the rules by which
 * contracts may change (proto/README.md).
 */
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorSet,
  type ServiceDescriptorProto,
} from "../../proto/gen/google/protobuf/descriptor.ts";
import { messages } from "../../proto/gen/schema.ts";

/** One line of a block: `key` is unique in it and never means anything else again. */
interface Line {
  /** A field's or value's number, or a method's name. */
  readonly key: string;
  /** Everything that may not change: name and type, or request and response. */
  readonly meaning: string;
}

interface Block {
  /** E.g. `message trireme.core.v1.Pod`. */
  readonly title: string;
  readonly lines: readonly Line[];
  /** Numbers and names that the contract says are no longer in use. */
  readonly reserved: ReservedNames;
  /** Keys of fields without presence: absent and zero look alike in them. */
  readonly withoutPresence: readonly string[];
  /** Names of fields that a document may not leave empty. */
  readonly required: readonly string[];
}

interface ReservedNames {
  readonly names: readonly string[];
  has(number: number): boolean;
}

export type Contracts = ReadonlyMap<string, Block>;

const nothingReserved: ReservedNames = { names: [], has: () => false };

/** Everything in packages of `trireme.`; `set`: a serialised FileDescriptorSet. */
export function contractsOf(set: Uint8Array): Contracts {
  const blocks = new Map<string, Block>();
  const add = (block: Block) => blocks.set(block.title, block);
  for (const file of FileDescriptorSet.decode(set).file ?? []) {
    if (!file.package?.startsWith("trireme.")) continue;
    for (const message of file.messageType ?? []) addMessage(add, file.package, message);
    for (const each of file.enumType ?? []) add(enumBlock(file.package, each));
    for (const service of file.service ?? []) add(serviceBlock(file.package, service));
    for (const field of file.extension ?? []) {
      const title = `extension ${file.package}.${field.name}`;
      const line = {
        key: String(field.number),
        meaning: `${meaningOf(field)} of ${field.extendee?.replace(/^\./, "")}`,
      };
      add(plainBlock(title, [line]));
    }
  }
  return blocks;
}

function plainBlock(title: string, lines: readonly Line[]): Block {
  return { title, lines, reserved: nothingReserved, withoutPresence: [], required: [] };
}

function addMessage(add: (block: Block) => void, scope: string, message: DescriptorProto): void {
  const name = `${scope}.${message.name}`;
  const nested = message.nestedType ?? [];
  const maps = new Map(
    nested.filter((each) => each.options?.mapEntry).map((each) => [`.${name}.${each.name}`, each]),
  );
  const fields = message.field ?? [];
  const ranges = message.reservedRange ?? [];
  const presence = (field: FieldDescriptorProto) =>
    field.label === FieldDescriptorProto_Label.REPEATED ||
    field.type === FieldDescriptorProto_Type.MESSAGE ||
    field.oneofIndex !== undefined;
  const schema = messages[name]?.fields ?? {};
  add({
    title: `message ${name}`,
    lines: fields.map((field) => ({
      key: String(field.number),
      meaning: meaningOf(field, maps, message),
    })),
    reserved: {
      names: message.reservedName ?? [],
      has: (number) => ranges.some(({ start = 0, end = 0 }) => number >= start && number < end),
    },
    withoutPresence: fields.filter((field) => !presence(field)).map(({ number }) => `${number}`),
    required: Object.entries(schema).flatMap(([each, { required }]) => (required ? [each] : [])),
  });
  for (const each of nested) if (!each.options?.mapEntry) addMessage(add, name, each);
  for (const each of message.enumType ?? []) add(enumBlock(name, each));
}

/** E.g. `labels map<string, string>`, `items repeated trireme.core.v1.Pod`, `txn Txn in command`. */
function meaningOf(
  field: FieldDescriptorProto,
  maps: ReadonlyMap<string, DescriptorProto> = new Map(),
  message: DescriptorProto = {},
): string {
  const entry = maps.get(field.typeName ?? "");
  if (entry !== undefined) {
    const [key, value] = (entry.field ?? []).map(typeOf);
    return `${field.name} map<${key}, ${value}>`;
  }
  const repeated = field.label === FieldDescriptorProto_Label.REPEATED ? "repeated " : "";
  const group =
    field.oneofIndex !== undefined && !field.proto3Optional
      ? ` in ${message.oneofDecl?.[field.oneofIndex]?.name}`
      : "";
  return `${field.name} ${repeated}${typeOf(field)}${group}`;
}

const typeNames = new Map<number, string>(
  Object.entries(FieldDescriptorProto_Type).map(([name, number]) => [number, name.toLowerCase()]),
);

function typeOf(field: FieldDescriptorProto): string {
  if (field.typeName) return field.typeName.replace(/^\./, "");
  return typeNames.get(field.type ?? 0) ?? String(field.type);
}

function enumBlock(scope: string, type: EnumDescriptorProto): Block {
  const lines = (type.value ?? []).map(({ name, number }) => ({
    key: String(number),
    meaning: String(name),
  }));
  const ranges = type.reservedRange ?? [];
  return {
    ...plainBlock(`enum ${scope}.${type.name}`, lines),
    reserved: {
      names: type.reservedName ?? [],
      has: (number) => ranges.some(({ start = 0, end = 0 }) => number >= start && number <= end),
    },
  };
}

function serviceBlock(scope: string, service: ServiceDescriptorProto): Block {
  const side = (stream: boolean | undefined, type: string | undefined) =>
    `${stream ? "stream " : ""}${type?.replace(/^\./, "")}`;
  const lines = (service.method ?? []).map((method) => ({
    key: method.name ?? "",
    meaning:
      `${side(method.clientStreaming, method.inputType)} -> ` +
      side(method.serverStreaming, method.outputType),
  }));
  return plainBlock(`service ${scope}.${service.name}`, lines);
}

/** The record as text; fields that a release had and later ones lack are kept as reserved. */
export function recordOf(contracts: Contracts, released: Contracts): string {
  const order = (one: string, other: string) => (one < other ? -1 : Number(one > other));
  const blocks = [...contracts.values()].sort((one, other) => order(one.title, other.title));
  const text = blocks.map((block) => {
    const kept = (released.get(block.title)?.lines ?? []).filter(
      ({ key }) => !block.lines.some((line) => line.key === key),
    );
    const lines = [...block.lines, ...kept].map(({ key, meaning }) => `  ${key} ${meaning}\n`);
    return `${block.title}\n${lines.join("")}`;
  });
  return `# The last release on the wire. Written by REWRITE=1 npm test -- test/protos/released.test.ts\n${text.join("")}`;
}

export function parseRecord(text: string): Contracts {
  const blocks = new Map<string, Block>();
  let lines: Line[] = [];
  for (const each of text.split("\n")) {
    if (each === "" || each.startsWith("#")) continue;
    if (!each.startsWith("  ")) {
      lines = [];
      blocks.set(each, plainBlock(each, lines));
      continue;
    }
    const [, key = "", meaning = ""] = /^ {2}(\S+) (.*)$/.exec(each) ?? [];
    lines.push({ key, meaning });
  }
  return blocks;
}

/** Everything in `current` that breaks the rules, in words; empty: it may be released. */
export function faultsOf(current: Contracts, released: Contracts): string[] {
  const faults: string[] = [];
  for (const old of released.values()) {
    const block = current.get(old.title);
    if (block === undefined) {
      faults.push(`${old.title} is gone: keep it, marked as deprecated`);
      continue;
    }
    for (const line of old.lines) faults.push(...lineFaults(block, line));
    faults.push(...newFaults(block, old));
  }
  return faults;
}

function lineFaults(block: Block, old: Line): string[] {
  const now = block.lines.find(({ key }) => key === old.key);
  const was = `${old.key} was "${old.meaning}"`;
  if (now !== undefined) {
    return now.meaning === old.meaning ? [] : [`${block.title}: ${was}, is "${now.meaning}"`];
  }
  if (block.title.startsWith("service ")) {
    return [`${block.title}: method ${was} and is gone: keep it, marked as deprecated`];
  }
  const name = old.meaning.split(" ")[0] ?? "";
  if (block.reserved.has(Number(old.key)) && block.reserved.names.includes(name)) return [];
  return [`${block.title}: ${was} and is gone: say \`reserved ${old.key}; reserved "${name}";\``];
}

function newFaults(block: Block, old: Block): string[] {
  const added = block.lines.filter(({ key }) => !old.lines.some((line) => line.key === key));
  return added.flatMap(({ key, meaning }) => {
    const name = meaning.split(" ")[0] ?? "";
    const what = `${block.title}: the new field ${key} "${meaning}"`;
    const faults: string[] = [];
    if (block.withoutPresence.includes(key)) faults.push(`${what} must be optional`);
    if (block.required.includes(name)) faults.push(`${what} may not be required`);
    return faults;
  });
}

/** The descriptors of `proto/`, indexed for reflection. */
import { readFileSync } from "node:fs";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import {
  type DescriptorProto,
  type FieldDescriptorProto,
  FileDescriptorProto,
} from "../../proto/gen/google/protobuf/descriptor.ts";

export interface DescriptorFile {
  readonly name: string;
  /** A serialised FileDescriptorProto. */
  readonly bytes: Buffer;
  readonly dependencies: readonly string[];
}

export class DescriptorIndex {
  readonly #files = new Map<string, DescriptorFile>();
  readonly #symbols = new Map<string, DescriptorFile>();
  /** By extended message, then by number. */
  readonly #extensions = new Map<string, Map<number, DescriptorFile>>();

  /** `set`: a serialised FileDescriptorSet. */
  constructor(set: Uint8Array) {
    for (const bytes of filesOf(set)) {
      const proto = FileDescriptorProto.decode(bytes);
      const name = proto.name ?? "";
      this.#add({ name, bytes, dependencies: proto.dependency ?? [] }, proto);
    }
  }

  file(name: string): DescriptorFile | undefined {
    return this.#files.get(name);
  }

  /**
   * The file that defines a message, enum, service, method, field or extension of this full name.
   */
  symbol(name: string): DescriptorFile | undefined {
    return this.#symbols.get(name.startsWith(".") ? name.slice(1) : name);
  }

  extension(message: string, number: number): DescriptorFile | undefined {
    return this.#extensions.get(message)?.get(number);
  }

  extensionNumbers(message: string): readonly number[] {
    return [...(this.#extensions.get(message)?.keys() ?? [])].sort((a, b) => a - b);
  }

  /** The files and everything they import, each once, the importing file first. */
  closure(files: Iterable<DescriptorFile>): Set<DescriptorFile> {
    const reached = new Set<DescriptorFile>(files);
    for (const file of reached) {
      for (const name of file.dependencies) {
        const dependency = this.#files.get(name);
        if (dependency !== undefined) reached.add(dependency);
      }
    }
    return reached;
  }

  #add(file: DescriptorFile, proto: FileDescriptorProto): void {
    this.#files.set(file.name, file);
    const prefix = proto.package ? `${proto.package}.` : "";
    for (const message of proto.messageType ?? []) this.#addMessage(file, prefix, message);
    for (const type of proto.enumType ?? []) this.#symbols.set(`${prefix}${type.name}`, file);
    this.#addExtensions(file, prefix, proto.extension ?? []);
    for (const service of proto.service ?? []) {
      const name = `${prefix}${service.name}`;
      this.#symbols.set(name, file);
      for (const method of service.method ?? []) this.#symbols.set(`${name}.${method.name}`, file);
    }
  }

  #addMessage(file: DescriptorFile, prefix: string, message: DescriptorProto): void {
    const name = `${prefix}${message.name}`;
    this.#symbols.set(name, file);
    for (const field of message.field ?? []) this.#symbols.set(`${name}.${field.name}`, file);
    for (const type of message.enumType ?? []) this.#symbols.set(`${name}.${type.name}`, file);
    for (const nested of message.nestedType ?? []) this.#addMessage(file, `${name}.`, nested);
    this.#addExtensions(file, `${name}.`, message.extension ?? []);
  }

  #addExtensions(file: DescriptorFile, prefix: string, fields: FieldDescriptorProto[]): void {
    for (const field of fields) {
      this.#symbols.set(`${prefix}${field.name}`, file);
      const extended = field.extendee?.replace(/^\./, "") ?? "";
      const numbers = this.#extensions.get(extended) ?? new Map<number, DescriptorFile>();
      this.#extensions.set(extended, numbers.set(field.number ?? 0, file));
    }
  }
}

function* filesOf(set: Uint8Array): Generator<Buffer> {
  const reader = new BinaryReader(set);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) yield Buffer.from(reader.bytes());
    else reader.skip(wireType);
  }
}

let loaded: DescriptorIndex | undefined;

/** The descriptors of everything in `proto/`; read at the first call, which takes milliseconds. */
export function protoDescriptors(): DescriptorIndex {
  if (loaded === undefined) {
    const file = new URL("../../proto/gen/descriptors.binpb", import.meta.url);
    loaded = new DescriptorIndex(readFileSync(file));
  }
  return loaded;
}

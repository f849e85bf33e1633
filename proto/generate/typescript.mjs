// TypeScript by ts-proto, and what is changed in what ts-proto writes.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);

const options = [
  "outputServices=grpc-js",
  "env=node",
  "esModuleInterop=true",
  "importSuffix=.ts",
  "useOptionals=all",
  "initializeFieldsAsUndefined=false",
  "outputJsonMethods=false",
  "outputPartialMethods=false",
  "useExactTypes=false",
  "oneof=unions-value",
  "useDate=false",
  "unrecognizedEnum=false",
  "removeEnumPrefix=true",
  "enumsAsLiterals=true",
];

/** Flags of protoc that write TypeScript to `out`. */
export function typescriptFlags(out, bigint) {
  const plugin = join(dirname(require.resolve("ts-proto/package.json")), "protoc-gen-ts_proto");
  const all = [...options, bigint ? "forceLong=bigint" : "forceLong=number"];
  return [
    `--plugin=protoc-gen-ts_proto=${plugin}`,
    `--ts_proto_out=${out}`,
    `--ts_proto_opt=${all.join(",")}`,
  ];
}

const writerImport = `import { BinaryWriter } from "@bufbuild/protobuf/wire";
`;

/** With this the generated files serialise messages. */
const serialized = `
let writer = new BinaryWriter();
/** A writer that has grown larger than this is let go. */
const keptWriterBytes = 64 * 1024;

function serialized<T>(
  codec: { encode(message: T, writer: BinaryWriter): BinaryWriter },
  message: T,
): Buffer {
  let bytes: Uint8Array;
  try {
    bytes = codec.encode(message, writer).finish();
  } catch (error) {
    // It holds the half of a message.
    writer = new BinaryWriter();
    throw error;
  }
  if (bytes.length > keptWriterBytes) writer = new BinaryWriter();
  return view(bytes);
}
`;

/** With this the generated files write and read a Struct that is the same for many messages. */
const keptStructs = `
const structsMax = 2_000;
/** The least recently used first. */
const structs = new Map<string, { [key: string]: any }>();
const structBytes = new WeakMap<object, Uint8Array>();

/** Encoded once if it is frozen, and so can never change. */
function bytesOfStruct(value: { [key: string]: any }): Uint8Array {
  let bytes = structBytes.get(value);
  if (bytes !== undefined) return bytes;
  bytes = Struct.encode(Struct.wrap(value)).finish();
  if (Object.isFrozen(value)) structBytes.set(value, bytes);
  return bytes;
}

/** The same frozen object for the same bytes. */
function structOfBytes(bytes: Uint8Array): { [key: string]: any } {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  let value = structs.get(text);
  if (value !== undefined) {
    structs.delete(text);
    structs.set(text, value);
    return value;
  }
  value = frozen(Struct.unwrap(Struct.decode(bytes)));
  structs.set(text, value);
  if (structs.size > structsMax) {
    for (const oldest of structs.keys()) {
      structs.delete(oldest);
      break;
    }
  }
  return value;
}

function frozen<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  for (const each of Object.values(value)) frozen(each);
  return Object.freeze(value);
}
`;

/**
 * Sets of managed fields are large, and equal for most objects of a kind: each is decoded and
 * encoded once.
 */
function keepStructs(text) {
  const kept = text
    .replace(
      /Struct\.encode\(Struct\.wrap\(message\.fieldsV1\), writer\.uint32\((\d+)\)\.fork\(\)\)\.join\(\);/,
      "writer.uint32($1).bytes(bytesOfStruct(message.fieldsV1));",
    )
    .replace(
      "message.fieldsV1 = Struct.unwrap(Struct.decode(reader, reader.uint32()))",
      "message.fieldsV1 = structOfBytes(reader.bytes())",
    );
  return kept === text ? text : kept + keptStructs;
}

const clientMaker = "makeGenericClientConstructor";

/**
 * A program that imports a message loads no gRPC library: the library is loaded with the first
 * client that is made of a service.
 */
const lateClients = `
const load = createRequire(import.meta.url);

/** ts-proto gives it its type. */
function ${clientMaker}(service: object, serviceName: string): unknown {
  let made: (new (...options: unknown[]) => object) | undefined;
  function Client(...options: unknown[]): object {
    made ??= load("@grpc/grpc-js").${clientMaker}(service, serviceName) as typeof made & object;
    return new made(...options);
  }
  return Object.assign(Client, { service, serviceName });
}
`;

function loadLate(text) {
  const typesOnly = (_, names) => {
    const types = names.replace(`  ${clientMaker},\n`, "").replaceAll("  type ", "  ");
    return `import type {${types}} from "@grpc/grpc-js";`;
  };
  const left = text.replace(/import \{([^}]*)\} from "@grpc\/grpc-js";/, typesOnly);
  if (left === text) return text;
  return `import { createRequire } from "node:module";\n${left}${lateClients}`;
}

/** Rewrites every TypeScript file below `out`. */
export function rewriteTypescript(out) {
  for (const name of readdirSync(out, { recursive: true })) {
    if (!name.endsWith(".ts")) continue;
    const file = join(out, name);
    writeFileSync(file, loadLate(keepStructs(viewBytes(readFileSync(file, "utf8")))));
  }
}

/**
 * ts-proto copies every decoded `bytes` field and every serialised message; a view will do. A
 * caller that keeps decoded bytes for long copies them, because a view keeps its whole message in
 * memory. ts-proto also makes a new writer for every message, whose buffer has to grow each time;
 * here one writer is used again.
 */
function viewBytes(text) {
  const viewed = text.replaceAll("Buffer.from(reader.bytes())", "view(reader.bytes())");
  const reusing = viewed.replace(
    /(: Buffer =>)\s+Buffer\.from\(([\w.]+)\.encode\(([^\n]*?)\)\.finish\(\)\)/g,
    "$1 serialized($2, $3)",
  );
  if (reusing === text) return text;
  const imports = /import .*\bBinaryWriter\b/.test(text) ? "" : writerImport;
  return `${reusing === viewed ? "" : imports}${reusing}${reusing === viewed ? "" : serialized}
function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
`;
}

// Generates proto/gen/ from the contracts beside this file: TypeScript messages and service
// definitions, the descriptor set (for reflection) and schema.ts (for validation, merging and
// routing). Runs after `npm install`; does nothing when the contracts have not changed.
// Plain JavaScript, because it runs before anything that could type-check it is set up.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(here);
const require = createRequire(import.meta.url);
const gen = join(here, "gen");

/** Contracts with ids beyond 2^53: their 64-bit integers become bigint. */
const bigintContracts = new Set([
  "etcd.proto",
  "etcd_auth.proto",
  "etcd_election.proto",
  "etcd_kv.proto",
  "etcd_lock.proto",
]);

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

/** Keys: ScalarType numbers of the descriptor format. */
const scalarNames = {
  1: "double",
  2: "double",
  3: "long",
  4: "long",
  5: "int",
  6: "long",
  7: "int",
  8: "bool",
  9: "string",
  12: "bytes",
  13: "int",
  15: "int",
  16: "long",
  17: "int",
  18: "long",
};

const writerImport = `import { BinaryWriter } from "@bufbuild/protobuf/wire";
`;

/** What the generated files that serialise messages do it with. */
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

const contracts = readdirSync(here)
  .filter((name) => name.endsWith(".proto"))
  .sort();

const digest = createHash("sha256").update(readFileSync(fileURLToPath(import.meta.url)));
for (const name of contracts) digest.update(name).update(readFileSync(join(here, name)));
const stamp = digest.digest("hex");
const stampFile = join(gen, "stamp");
if (!existsSync(stampFile) || readFileSync(stampFile, "utf8") !== stamp) await generate();

async function generate() {
  const next = `${gen}.${process.pid}`;
  rmSync(next, { recursive: true, force: true });
  mkdirSync(next, { recursive: true });
  const ordinary = contracts.filter((name) => !bigintContracts.has(name));
  const bigint = contracts.filter((name) => bigintContracts.has(name));
  protoc(next, ordinary, "forceLong=number");
  if (bigint.length > 0) protoc(next, bigint, "forceLong=bigint");
  await writeSchema(next);
  for (const file of filesBelow(next, ".ts")) {
    writeFileSync(file, viewBytes(readFileSync(file, "utf8")));
  }
  writeFileSync(join(next, "stamp"), stamp);
  rmSync(gen, { recursive: true, force: true });
  renameSync(next, gen);
}

function protoc(out, files, long) {
  const plugin = join(dirname(require.resolve("ts-proto/package.json")), "protoc-gen-ts_proto");
  const compiler = dirname(require.resolve("protoc/package.json"));
  const descriptors = files.some((name) => bigintContracts.has(name)) ? "bigint" : "ordinary";
  execFileSync(
    process.execPath,
    [
      join(compiler, "protoc.cjs"),
      `-I${here}`,
      `-I${join(compiler, "include")}`,
      `--plugin=protoc-gen-ts_proto=${plugin}`,
      `--ts_proto_out=${out}`,
      `--ts_proto_opt=${[...options, long].join(",")}`,
      `--descriptor_set_out=${join(out, `${descriptors}.binpb`)}`,
      "--include_imports",
      "--include_source_info",
      ...files,
    ],
    {
      cwd: root,
      stdio: "inherit",
      env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` },
    },
  );
}

/**
 * ts-proto copies every decoded `bytes` field and every serialised message; a view will do. Whoever
 * keeps decoded bytes for long copies them: a view keeps its whole message in memory. And it takes
 * a new writer for every message, whose buffer has to grow each time.
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

function filesBelow(folder, ending) {
  return readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name));
}

/** The descriptors as one flat table: messages by full name, services with their methods. */
async function writeSchema(out) {
  const { fromBinary, createFileRegistry, getOption, hasOption } = await import(
    "@bufbuild/protobuf"
  );
  const { FileDescriptorSetSchema } = await import("@bufbuild/protobuf/wkt");
  const sets = ["ordinary", "bigint"].map((name) => join(out, `${name}.binpb`)).filter(existsSync);
  const messages = {};
  const services = {};
  const files = new Map();
  for (const file of sets) {
    const set = fromBinary(FileDescriptorSetSchema, readFileSync(file));
    for (const proto of set.file) files.set(proto.name, proto);
  }
  const { create, toBinary } = await import("@bufbuild/protobuf");
  const merged = create(FileDescriptorSetSchema, { file: [...files.values()] });
  writeFileSync(join(out, "descriptors.binpb"), toBinary(FileDescriptorSetSchema, merged));
  for (const file of sets) rmSync(file);
  const registry = createFileRegistry(merged);
  const meta = (name) => registry.getExtension(`trireme.meta.v1.${name}`);
  const option = (desc, name) =>
    hasOption(desc, meta(name)) ? getOption(desc, meta(name)) : undefined;
  for (const type of registry) {
    if (type.kind === "service") {
      services[type.typeName] = {
        methods: Object.fromEntries(
          type.methods.map((method) => [
            method.name,
            {
              path: `/${type.typeName}/${method.name}`,
              request: method.input.typeName,
              response: method.output.typeName,
              requestStream: /client_streaming|bidi_streaming/.test(method.methodKind),
              responseStream: /server_streaming|bidi_streaming/.test(method.methodKind),
            },
          ]),
        ),
      };
    }
    if (type.kind === "message" && !type.typeName.startsWith("google.protobuf.")) {
      const resource = option(type, "resource");
      messages[type.typeName] = {
        ...(resource && {
          resource: {
            group: resource.group,
            version: resource.version,
            kind: resource.kind,
            plural: resource.plural,
          },
        }),
        fields: Object.fromEntries(
          type.fields.map((field) => [field.jsonName, fieldSchema(field, option)]),
        ),
      };
    }
  }
  const text = `// Generated by proto/generate.mjs from the contracts beside it.

export type FieldType =
  | "string" | "bytes" | "bool" | "int" | "long" | "double" | "enum" | "message" | "value" | "struct";

export interface FieldSchema {
  readonly number: number;
  readonly type: FieldType;
  /** Full name, for type "message". */
  readonly message?: string;
  readonly repeated?: true;
  /** A map from string; \`type\` and \`message\` are of its values. */
  readonly map?: true;
  readonly required?: true;
  readonly mergeKey?: string;
  readonly listMapKeys?: readonly string[];
  readonly listSet?: true;
}

export interface MessageSchema {
  readonly resource?: {
    readonly group: string;
    readonly version: string;
    readonly kind: string;
    readonly plural: string;
  };
  readonly fields: Readonly<Record<string, FieldSchema>>;
}

export interface MethodSchema {
  readonly path: string;
  readonly request: string;
  readonly response: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

export interface ServiceSchema {
  readonly methods: Readonly<Record<string, MethodSchema>>;
}

export const messages: Readonly<Record<string, MessageSchema>> = ${JSON.stringify(messages, null, 1)};

export const services: Readonly<Record<string, ServiceSchema>> = ${JSON.stringify(services, null, 1)};
`;
  writeFileSync(join(out, "schema.ts"), text);
}

function fieldSchema(field, option) {
  const schema = { number: field.number };
  const element =
    field.fieldKind === "map"
      ? field.mapKind
      : field.fieldKind === "list"
        ? field.listKind
        : field.fieldKind;
  if (element === "message") {
    const name = field.message.typeName;
    if (name === "google.protobuf.Value") schema.type = "value";
    else if (name === "google.protobuf.Struct") schema.type = "struct";
    else {
      schema.type = "message";
      schema.message = name;
    }
  } else if (element === "enum") schema.type = "enum";
  else schema.type = scalarNames[field.scalar] ?? "string";
  if (field.fieldKind === "list") schema.repeated = true;
  if (field.fieldKind === "map") schema.map = true;
  if (option(field, "required")) schema.required = true;
  const mergeKey = option(field, "merge_key");
  if (mergeKey) schema.mergeKey = mergeKey;
  const keys = option(field, "list_map_keys");
  if (keys?.length) schema.listMapKeys = keys;
  if (option(field, "list_set")) schema.listSet = true;
  return schema;
}

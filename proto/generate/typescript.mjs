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

/** Rewrites every TypeScript file below `out`. */
export function useViews(out) {
  for (const name of readdirSync(out, { recursive: true })) {
    if (!name.endsWith(".ts")) continue;
    const file = join(out, name);
    writeFileSync(file, viewBytes(readFileSync(file, "utf8")));
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

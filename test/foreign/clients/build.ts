/** Generates clients from the tree of `trireme protos`, and builds the programs around them. */
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { writeTree } from "../../../services/cli/commands/protos.ts";

const run = promisify(execFile);
const compiler = dirname(createRequire(import.meta.url).resolve("protoc/package.json"));

/** How a client program is started. */
export interface Built {
  readonly command: string;
  readonly args: readonly string[];
}

/** As the tree's README says, with the user's own module path. */
export async function buildGoClient(folder: string): Promise<Built> {
  cpSync(join(import.meta.dirname, "go"), folder, { recursive: true });
  const tree = join(folder, "protos");
  await writeTree({ out: tree, goPrefix: "trireme.io/clients/api" });
  const module = "module=trireme.io/clients";
  const flags = [
    ...[`--go_out=${folder}`, `--go_opt=${module}`],
    ...[`--go-grpc_out=${folder}`, `--go-grpc_opt=${module}`],
  ];
  const protoc = join(compiler, "protoc.cjs");
  await run(process.execPath, [protoc, "-I.", ...flags, ...contractsIn(tree)], { cwd: tree });
  const command = join(folder, "client");
  await run("go", ["build", "-o", command, "."], { cwd: folder });
  return { command, args: [] };
}

export async function buildPythonClient(folder: string): Promise<Built> {
  cpSync(join(import.meta.dirname, "python"), folder, { recursive: true });
  const tree = join(folder, "protos");
  await writeTree({ out: tree });
  const out = join(folder, "generated");
  mkdirSync(out);
  const flags = [`--python_out=${out}`, `--grpc_python_out=${out}`];
  const args = ["-m", "grpc_tools.protoc", "-I.", ...flags, ...contractsIn(tree)];
  await run("grpc-python", args, { cwd: tree });
  return { command: "grpc-python", args: [join(folder, "client.py"), out] };
}

function contractsIn(tree: string): string[] {
  return readdirSync(tree, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".proto"))
    .sort();
}

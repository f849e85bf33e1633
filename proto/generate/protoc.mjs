// The compiler of contracts, as the npm package `protoc` brings it.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);
const compiler = dirname(require.resolve("protoc/package.json"));

/** Compiles `files`, found in `folders`; answers the bytes of their FileDescriptorSet. */
export async function protoc(folders, files, flags) {
  const work = mkdtempSync(join(tmpdir(), "trireme-protoc-"));
  try {
    const set = join(work, "set.binpb");
    await run([
      join(compiler, "protoc.cjs"),
      ...[...folders, join(compiler, "include")].map((folder) => `-I${folder}`),
      `--descriptor_set_out=${set}`,
      ...flags,
      ...files,
    ]);
    return readFileSync(set);
  } finally {
    rmSync(work, { recursive: true });
  }
}

function run(args) {
  // Plugins are Node programs and take the `node` that they find first.
  const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` };
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: "inherit", env });
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`protoc has failed (${signal ?? `exit code ${code}`}): see above`));
    });
  });
}

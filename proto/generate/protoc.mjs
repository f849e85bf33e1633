// The compiler of contracts, as the npm package `protoc` brings it.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);
const compiler = dirname(require.resolve("protoc/package.json"));

/** Compiles `files`, found in `folders`; answers the bytes of their FileDescriptorSet. */
export function protoc(folders, files, flags) {
  const work = mkdtempSync(join(tmpdir(), "trireme-protoc-"));
  try {
    const set = join(work, "set.binpb");
    execFileSync(
      process.execPath,
      [
        join(compiler, "protoc.cjs"),
        ...[...folders, join(compiler, "include")].map((folder) => `-I${folder}`),
        `--descriptor_set_out=${set}`,
        ...flags,
        ...files,
      ],
      {
        stdio: "inherit",
        // Plugins are Node programs and take the `node` that they find first.
        env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` },
      },
    );
    return readFileSync(set);
  } finally {
    rmSync(work, { recursive: true });
  }
}

// The last step of an installation: compiles everything once, and leaves the stamp by which
// bootstrap.mjs knows that these are the dependencies that the lock file names.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const node = join(root, "node_modules/node/bin/node");
if (existsSync(node)) {
  // Only a head start: what fails here fails again, with its reason, when it is needed.
  for (const program of ["services/cli/warm.ts", "services/cli/bundle/make.ts"]) {
    spawnSync(node, [join(root, program)], {
      stdio: "ignore",
      env: { ...process.env, NODE_COMPILE_CACHE: join(root, "node_modules/.cache/trireme") },
    });
  }
}
const lock = join(root, "package-lock.json");
if (existsSync(lock)) {
  const digest = createHash("sha256").update(readFileSync(lock)).digest("hex");
  writeFileSync(join(root, "node_modules", ".trireme-installed"), digest);
}

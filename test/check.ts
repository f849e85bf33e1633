/** `npm run check`: types, lint, format, unused code. Each prints its own findings. */
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";

const root = dirname(import.meta.dirname);
const bin = (name: string) => join(root, "node_modules/.bin", name);
const checks: readonly (readonly string[])[] = [
  [bin("tsc"), "-p", "."],
  [bin("biome"), "check", "--error-on-warnings"],
  [bin("oxlint"), "--type-aware", "--config", ".oxlintrc.json", "proto", "ha", "services", "test"],
  [bin("knip"), "--config", ".knip.json", "--no-progress"],
];

let failed = false;
for (const [command, ...args] of checks) {
  if (command === undefined) continue;
  const result = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (result.status === 0) continue;
  failed = true;
  console.error(`check: ${command.split("/").at(-1)} found something (above)`);
}
process.exit(failed ? 1 : 0);

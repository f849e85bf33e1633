// Runs a TypeScript program of this repository on any machine with Node >= 20 and npm: installs the
// dependencies when they are missing or out of date, generates code from changed contracts, and
// hands over to the Node 24 that came as a dependency. Plain JavaScript without dependencies,
// because it runs before there are any.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const [program, ...args] = process.argv.slice(2);
if (program === undefined) {
  process.stderr.write("usage: node services/cli/bootstrap.mjs PROGRAM.ts [ARGUMENT…]\n");
  process.exit(2);
}

install();
await import(join(root, "proto/generate.mjs"));
run();

/** The stamp is an installation's last step (installed.mjs): an interrupted one is done again. */
function install() {
  const lock = readFileSync(join(root, "package-lock.json"));
  const digest = createHash("sha256").update(lock).digest("hex");
  const stamp = join(root, "node_modules", ".trireme-installed");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return;
  process.stderr.write("trireme: installing dependencies (once)…\n");
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const options = ["--no-audit", "--no-fund", "--loglevel=error"];
  // Whatever `npm run -s` or `npm start` set for itself is not meant for this npm.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(lifecycle|package|command)/.test(name)),
  );
  const result = spawnSync(npm, ["ci", ...options], {
    cwd: root,
    env,
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32",
  });
  if (result.status !== 0) {
    const why = result.error ? result.error.message : `exit code ${result.status}`;
    process.stderr.write(`trireme: \`npm ci\` failed (${why}); its output is above\n`);
    process.exit(1);
  }
  if (existsSync(stamp)) return;
  process.stderr.write(
    "trireme: the installation's last step did not run: were install scripts disabled (npm's " +
      "ignore-scripts)? Enable them and try again.\n",
  );
  process.exit(1);
}

function run() {
  const bundled = join(root, "node_modules/node/bin/node");
  const node = existsSync(bundled) ? bundled : process.execPath;
  if (node === process.execPath && Number(process.versions.node.split(".")[0]) < 24) {
    process.stderr.write(
      "trireme: the Node 24 that the dependency `node` brings is missing: were install scripts " +
        "disabled (npm's ignore-scripts)? Enable them, delete node_modules and try again.\n",
    );
    process.exit(1);
  }
  const child = spawn(node, [join(root, program), ...args], {
    stdio: "inherit",
    env: {
      NODE_COMPILE_CACHE: join(root, "node_modules/.cache/trireme"),
      ...process.env,
      PATH: `${dirname(node)}:${process.env.PATH ?? ""}`,
    },
  });
  // A terminal signals the whole group, so the child has an interrupt already.
  process.on("SIGINT", () => {});
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    process.stderr.write(`trireme: cannot run ${node}: ${error.message}\n`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => {
    process.exit(code ?? 128 + (constants.signals[signal] ?? 0));
  });
}

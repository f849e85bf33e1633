import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { programNames } from "../../services/cli/programs.ts";
import { type Ended, runProgram, trireme } from "./run-program.ts";

const root = join(import.meta.dirname, "../..");
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  readonly version: string;
};
const tools = {
  load: "services/load/main.ts",
  drill: "services/drill/main.ts",
  sim: "test/sim/main.ts",
  bench: "test/bench/main.ts",
};
const verbs =
  "up down status certs protos backup restore check apply get delete logs exec attach port-forward".split(
    " ",
  );
/** Commander names a missing flag before a wrong one. */
const required: Readonly<Record<string, readonly string[]>> = {
  certs: ["--dir", "x"],
  protos: ["--out", "x"],
  backup: ["--out", "x"],
  restore: ["--data-dir", "x", "--masters", "x"],
};
const benchmarks = ["lists", "store", "overload", "balancer", "soak"];

test("--version prints the version of the package", async () => {
  const { code, stdout } = await trireme("--version");
  assert.deepEqual({ code, stdout }, { code: 0, stdout: `${manifest.version}\n` });
});

for (const [name, file] of Object.entries(tools)) {
  test(`npm run ${name}: --help and a wrong flag`, async () => {
    const help = await runProgram(file, "--help");
    assert.deepEqual({ code: help.code, stderr: help.stderr }, { code: 0, stderr: "" });
    assert.match(help.stdout, new RegExp(`usage: npm run ${name} -- `));
    const wrong = await runProgram(file, "--no-such-flag");
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, new RegExp(`^${name}: .*--no-such-flag.*\\n$`));
    assert.equal(wrong.stdout, "");
  });
}

test("numbers out of bounds and unknown names are refused with the bound", async () => {
  const refused = async (expected: string, file: string, ...args: string[]) => {
    const { code, stderr } = await runProgram(file, ...args);
    assert.deepEqual({ code, stderr }, { code: 2, stderr: `${expected}\n` });
  };
  await refused(
    'load: flag --duration: "0" is no time in 0.1s..3600s; write 30s or 5m',
    tools.load,
    "--duration",
    "0",
  );
  await refused(
    'load: "putt" is none of put, get, mixed, list, watch-fanout, pods-create, pods-churn, nodes-heartbeat, relist-storm; did you mean "put"?',
    tools.load,
    "putt",
  );
  await refused('sim: flag --seeds: "many" is not a number', tools.sim, "--seeds", "many");
  await refused(
    "drill: flag --base-port: 80 is not a whole number in 1024..65000",
    tools.drill,
    "--base-port",
    "80",
  );
  await refused("bench: codec has no flags, but was given --x", tools.bench, "codec", "--x");
});

test("every benchmark with flags describes them and refuses others", async () => {
  for (const name of benchmarks) {
    const help = await runProgram(tools.bench, name, "--help");
    assert.equal(help.code, 0, name);
    assert.match(help.stdout, new RegExp(`npm run bench -- ${name} \\[--`));
    const wrong = await runProgram(tools.bench, name, "--no-such-flag");
    assert.equal(wrong.code, 2, name);
    assert.match(wrong.stderr, new RegExp(`^bench: ${name}: .*--no-such-flag.*\\n$`));
  }
});

test("trireme: every command has --help, and refuses a wrong flag", async () => {
  const names = [...verbs, ...programNames];
  const helps = names.map((name) => [name, "--help"]);
  const wrong = names.map((name) => [name, ...(required[name] ?? []), "--no-such-flag"]);
  const asked = [...helps, ...wrong];
  const { code, stdout, stderr } = await runProgram("test/cli/in-turn.ts", JSON.stringify(asked));
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  const answers = JSON.parse(stdout) as Ended[];
  assert.equal(answers.length, asked.length);
  for (const [index, name] of names.entries()) {
    const help = answers[index];
    assert.deepEqual({ code: help?.code, stderr: help?.stderr }, { code: 0, stderr: "" }, name);
    assert.match(help?.stdout ?? "", new RegExp(`trireme ${name}`));
    const refused = answers[names.length + index];
    assert.equal(refused?.code, 2, name);
    assert.match(refused.stderr, /^[^\n]*--no-such-flag[^\n]*\n$/);
  }
});

for (const name of ["get", "apiserver"]) {
  test(`trireme ${name} ends as a process with the code of its answer`, async () => {
    const help = await trireme(name, "--help");
    assert.deepEqual({ code: help.code, stderr: help.stderr }, { code: 0, stderr: "" });
    const wrong = await trireme(name, "--no-such-flag");
    assert.deepEqual({ code: wrong.code, stdout: wrong.stdout }, { code: 2, stdout: "" });
  });
}

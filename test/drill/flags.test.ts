import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(import.meta.resolve("../../services/drill/main.ts"));

function drill(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: "utf8",
    timeout: 30_000,
  });
  return { status, stdout, stderr };
}

test("--help says what there is", () => {
  const { status, stdout } = drill("--help");
  assert.equal(status, 0);
  assert.match(stdout, /usage: .*\n\nOne of: leader-kill.*store-stop/);
});

for (const [args, said] of [
  [["nope"], /^drill: "nope" is none of leader-kill, /],
  [["constructor"], /^drill: "constructor" is none of /],
  [["store-kill", "--rounds", "x"], /^drill: .*--rounds.*"x"/],
  [["store-kill", "--rounds", "0"], /^drill: flag --rounds: 0 is not .* 1\.\.10000\n/],
  [["store-kill", "--base-port", "70000"], /^drill: flag --base-port: 70000 is not /],
  [["--bogus"], /^drill: .*--bogus/],
] as const) {
  test(`refused: ${args.join(" ")}`, () => {
    const { status, stderr } = drill(...args);
    assert.equal(status, 2, stderr);
    assert.match(stderr, said);
  });
}

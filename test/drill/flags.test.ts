/** Bad usage is told in one line, before anything is started. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseOptions } from "../../services/drill/options.ts";
import { drills } from "../../services/drill/table.ts";

const program = fileURLToPath(import.meta.resolve("../../services/drill/main.ts"));
const directory = mkdtempSync(join(tmpdir(), "trireme-drill-flags-"));
after(() => rmSync(directory, { recursive: true, force: true }));

function drill(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: "utf8",
    timeout: 30_000,
    cwd: directory,
    env: { ...process.env, INIT_CWD: directory },
  });
  return { status, stdout, stderr };
}

/** The same of what is refused before anything is looked at, without a process for each. */
function parse(t: TestContext, args: readonly string[]) {
  class Exit extends Error {}
  let stderr = "";
  let status: unknown;
  t.mock.method(process, "exit", (code: unknown) => {
    status = code;
    throw new Exit();
  });
  t.mock.method(process.stderr, "write", (text: string) => {
    stderr += text;
    return true;
  });
  const before = process.env["INIT_CWD"];
  process.env["INIT_CWD"] = directory;
  try {
    parseOptions(args);
  } catch (error) {
    if (!(error instanceof Exit)) throw error;
  } finally {
    if (before === undefined) delete process.env["INIT_CWD"];
    else process.env["INIT_CWD"] = before;
    t.mock.restoreAll();
  }
  return { status, stderr };
}

test("--help says what there is", () => {
  const { status, stdout } = drill("--help");
  assert.equal(status, 0);
  assert.match(stdout, /usage: .*\n\nOne of: leader-kill.*random, all/);
});

test("--list has every drill, with a line about each", () => {
  const { status, stdout } = drill("--list");
  assert.equal(status, 0);
  const lines = stdout.trimEnd().split("\n");
  assert.equal(lines.length, 23);
  assert.deepEqual(
    lines.map((line) => line.split(" ")[0]),
    drills.map(({ name }) => name),
  );
  for (const line of lines) assert.match(line, /^[a-z-]+ +[a-z6].{20,}[:,] .+/);
});

for (const [args, said] of [
  [["lader-kil"], /^drill: no drill is called "lader-kil"; did you mean leader-kill, /],
  [["constructor"], /^drill: no drill is called "constructor"; did you mean /],
  [["leader-kill", "--repeat", "x"], /^drill: .*--repeat.*"x"/],
  [["leader-kill", "--repeat", "0"], /^drill: flag --repeat: 0 is not .* 1\.\.1000\n/],
  [["leader-kill", "--base-port", "70000"], /^drill: flag --base-port: 70000 is not /],
  [["leader-kill", "--rate", "0"], /^drill: flag --rate: 0 is not .* 1\.\.20000\n/],
  [["--rate", "9000", "--clients", "4"], /^drill: flag --rate: 9000 is too many: 4 clients /],
  [["--against", "grpc"], /^drill: flag --against: "grpc" is none of api, rest, etcd\n/],
  [["--limit", "outage=3"], /^drill: flag --limit: "outage" is none of writeOutageMillis, /],
  [["--slack", "0"], /^drill: flag --slack: 0 is not .* 1\.\.20\n/],
  [["--limit", "relists=few"], /^drill: flag --limit: relists: "few" is not a number/],
  [["--json", "/no/such/folder/report"], /^drill: flag --json: \/no\/such\/folder\/report cannot/],
  [["all", "--html", "x.html"], /^drill: flag --html: of all drills each has its page/],
  [["judge", ".", "--html", "/no/such/x"], /^drill: flag --html: \/no\/such\/x cannot/],
  [["--json", "."], /^drill: flag --json: .* cannot be written: is a directory\n/],
  [["judge"], /^drill: judge: the folder of a drill's evidence is wanted\n/],
] as const) {
  test(`refused: ${args.join(" ")}`, (t) => {
    const { status, stderr } = parse(t, args);
    assert.equal(status, 2, stderr);
    assert.match(stderr, said);
    assert.equal(stderr.trimEnd().split("\n").length, 1);
  });
}

for (const [args, said] of [
  [["--data-dir", "nowhere"], /^drill: no cluster is up in .*nowhere: start it with `npm start/],
  [["member-replace", "--against", "rest"], /^drill: member-replace is held on a store alone/],
  [["judge", "nowhere"], /^drill: .*nowhere holds no evidence of a drill: plan.json: /],
  [["--bogus"], /^drill: .*--bogus/],
] as const) {
  test(`refused, and the process ends: ${args.join(" ")}`, () => {
    const { status, stderr } = drill(...args);
    assert.equal(status, 2, stderr);
    assert.match(stderr, said);
    assert.equal(stderr.trimEnd().split("\n").length, 1);
  });
}

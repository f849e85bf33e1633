/** The bundle runs what the sources say, and only while they say so. In a copy of the sources. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { bundleVariable, withoutBundle } from "../../services/cli/bundle/place.ts";

const root = join(import.meta.dirname, "../..");

describe("the bundle of all programs", { concurrency: 1 }, () => {
  const copy = realpathSync(mkdtempSync(join(tmpdir(), "trireme-bundle-")));
  const bundles = join(copy, "node_modules/.cache/trireme-bundle");
  after(() => rmSync(copy, { recursive: true, force: true }));

  before(() => {
    for (const name of ["ha", "proto", "services", "package.json"]) {
      cpSync(join(root, name), join(copy, name), { recursive: true, preserveTimestamps: true });
    }
    mkdirSync(join(copy, "node_modules"));
    for (const name of readdirSync(join(root, "node_modules"))) {
      if (name === ".cache") continue;
      symlinkSync(join(root, "node_modules", name), join(copy, "node_modules", name));
    }
    make();
  });

  function node(args: readonly string[], bundle?: string): string {
    const { [bundleVariable]: _, ...env } = process.env;
    const chosen = bundle === undefined ? {} : { [bundleVariable]: bundle };
    const result = spawnSync(process.execPath, args, {
      encoding: "utf8",
      env: { ...env, ...chosen },
    });
    assert.equal(result.status, 0, result.stderr);
    return result.stdout;
  }

  function make(): string {
    const call = "import(process.argv[1]).then(async (m) => console.log(await m.makeBundle()))";
    return node(["-e", call, join(copy, "services/cli/bundle/make.ts")]).trim();
  }

  const help = (program: string, bundle?: string) =>
    node([join(copy, "services/cli/main.ts"), program, "--help"], bundle);

  test("programs start from it and from their sources alike, as the variable says", () => {
    const digest = make();
    assert.deepEqual(readdirSync(bundles), [digest], "it is made once");
    for (const program of ["apiserver", "kubelet"]) {
      assert.equal(help(program), help(program, withoutBundle));
    }
    appendFileSync(join(bundles, digest, "trireme.mjs"), '\nconsole.log("the bundle ran");\n');
    const ran = (bundle?: string) => help("scheduler", bundle).includes("the bundle ran");
    assert.deepEqual([ran(), ran(digest), ran(withoutBundle)], [true, true, false]);
    assert.equal(ran("of-other-sources"), false);
  });

  test("a library that is loaded late is the bundle's own, as its credentials are", () => {
    const place = join(bundles, make());
    const texts = readdirSync(place).map((name) => readFileSync(join(place, name), "utf8"));
    assert.ok(texts.some((text) => text.includes("makeGenericClientConstructor")));
    assert.deepEqual(
      texts.filter((text) => text.includes('("@grpc/grpc-js")')),
      [],
    );
  });

  test("a source that has changed makes it one of other sources", () => {
    const [before] = readdirSync(bundles);
    const changed = join(copy, "services/scheduler/main.ts");
    const later = new Date(Date.now() + 60_000);
    utimesSync(changed, later, later);
    assert.ok(!help("scheduler").includes("the bundle ran"));
    const digest = make();
    assert.notEqual(digest, before);
    assert.deepEqual(readdirSync(bundles).sort(), [before, digest].sort());
  });
});

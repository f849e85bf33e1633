import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { createLog, productionRandom } from "../../ha/runtime/production/mod.ts";

const moduleUrl = import.meta.resolve("../../ha/runtime/production/mod.ts");

test("a whole runtime opens, works and closes inside a worker thread", async () => {
  const directory = await mkdtemp(join(tmpdir(), "trireme-runtime-"));
  const logFile = join(directory, "log");
  const descriptor = openSync(logFile, "a");
  try {
    const code = `
      const { openProductionRuntime } = await import(${JSON.stringify(moduleUrl)});
      const { parentPort } = await import("node:worker_threads");
      const runtime = await openProductionRuntime({
        dataDirectory: ${JSON.stringify(join(directory, "data"))},
        listen: { host: "127.0.0.1", port: 0 },
        identityFile: ${JSON.stringify(join(directory, "identity.pem"))},
        log: { descriptor: ${descriptor} },
        logFields: { member: "m1" },
      });
      await runtime.network.start({ message() {}, link() {} });
      const { resolve, promise } = Promise.withResolvers();
      runtime.disk.write([{ key: Uint8Array.of(1), value: Uint8Array.of(2) }], { sync: true }, resolve);
      const error = await promise;
      runtime.log.info("written", { error: new Error("shown"), count: 1 });
      const value = [...runtime.disk.get(Uint8Array.of(1))];
      const address = runtime.peerAddress();
      await Promise.all([runtime.close(), runtime.close()]);
      parentPort.postMessage({ error, value, address, id: runtime.identity.memberId });
    `;
    const worker = new Worker(`(async () => {${code}})()`, { eval: true });
    const answer = await new Promise<Record<string, unknown>>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    // Nothing is left that keeps the thread alive.
    assert.equal(await new Promise((resolve) => worker.once("exit", resolve)), 0);
    assert.equal(answer["error"], undefined);
    assert.deepEqual(answer["value"], [2]);
    assert.match(String(answer["address"]), /^127\.0\.0\.1:\d+$/);
    const line = JSON.parse(readFileSync(logFile, "utf8").trim());
    assert.equal(line.text, "written");
    assert.equal(line.level, "info");
    assert.equal(line.member, "m1");
    assert.equal(line.count, 1);
    assert.match(line.error, /^Error: shown/);
  } finally {
    closeSync(descriptor);
    await rm(directory, { recursive: true });
  }
});

test("clock, log and identity alone load neither libp2p nor LevelDB", () => {
  const program = `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context); } });
    await import(${JSON.stringify(moduleUrl)});
    process.stdout.write(String(loaded.filter((url) => /libp2p|classic-level/.test(url)).join()));
  `;
  const options = { encoding: "utf8" } as const;
  const run = spawnSync(process.execPath, ["--input-type=module", "-e", program], options);
  assert.equal(run.status, 0, run.stderr);
  assert.equal(run.stdout, "");
});

test("log: children add fields, lower levels are left out", async () => {
  const directory = await mkdtemp(join(tmpdir(), "trireme-log-"));
  const file = join(directory, "log");
  const descriptor = openSync(file, "a");
  try {
    const log = createLog({ component: "x" }, { level: "warn", descriptor });
    log.info("not written");
    log.child({ part: 1 }).warn("written", { more: 2 });
    const lines = readFileSync(file, "utf8").trim().split("\n");
    assert.equal(lines.length, 1);
    const { component, part, more, text } = JSON.parse(lines[0] ?? "");
    assert.deepEqual([component, part, more, text], ["x", 1, 2, "written"]);
  } finally {
    closeSync(descriptor);
    await rm(directory, { recursive: true });
  }
});

test("random: below its limit, of the length asked for", () => {
  const seen = new Set(Array.from({ length: 200 }, () => productionRandom.below(3)));
  assert.deepEqual([...seen].sort(), [0, 1, 2]);
  assert.equal(productionRandom.below(1), 0);
  assert.ok(productionRandom.below(2 ** 32) < 2 ** 32);
  assert.throws(() => productionRandom.below(2 ** 32 + 1), /not an integer in 1\.\./);
  assert.equal(productionRandom.bytes(16).length, 16);
  assert.notDeepEqual(productionRandom.bytes(16), productionRandom.bytes(16));
});

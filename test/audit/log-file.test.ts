/** The audit log's file: nothing lost in order, bounded, rotated. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { AuditLog, type AuditLogOptions } from "../../services/apiserver/audit/log-file.ts";
import { limits } from "../../services/apiserver/limits.ts";
import { quietLog } from "../apiserver/harness.ts";

async function within(run: (path: string, directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "trireme-audit-"));
  await run(join(directory, "audit.log"), directory);
  await rm(directory, { recursive: true });
}

const bounds = { maxBytes: 1024 * 1024, maxBackups: 0, maxAgeDays: 0, log: quietLog };
const open = (options: Partial<AuditLogOptions> & { path: string }) =>
  AuditLog.open({ ...bounds, now: () => Date.now(), ...options });

test("events are kept in order, behind those of an earlier run", () =>
  within(async (path) => {
    await writeFile(path, "earlier\n");
    const log = await open({ path });
    for (let i = 0; i < 1000; i++) log.offer(`event ${i}`);
    await log.close();
    const lines = (await readFile(path, "utf8")).trimEnd().split("\n");
    assert.deepEqual(lines.slice(0, 3), ["earlier", "event 0", "event 1"]);
    assert.equal(lines.length, 1001);
    assert.deepEqual(log.counts, { written: 1000, dropped: 0 });
  }));

test("what the queue cannot hold is dropped, counted and told, and nobody waits", () =>
  within(async (path) => {
    const told: unknown[] = [];
    const log = await open({
      path,
      log: { ...quietLog, error: (_text, fields) => void told.push(fields) },
    });
    const more = 25;
    for (let i = 0; i < limits.auditQueueEvents + more; i++) log.offer("x");
    assert.equal(log.counts.dropped, more);
    await log.close();
    assert.equal(log.counts.written, limits.auditQueueEvents);
    assert.deepEqual(told, [{ why: "the queue of the audit log is full", dropped: 1, all: 1 }]);
    log.offer("late");
    assert.equal(log.counts.dropped, more + 1);
  }));

test("a full file is put aside, and the oldest ones are deleted", () =>
  within(async (path, directory) => {
    let now = Date.parse("2026-01-02T15:04:05.000Z");
    const log = await open({ path, maxBytes: 10, maxBackups: 2, now: () => (now += 1000) });
    for (const event of ["one", "two", "three", "four", "five"]) {
      log.offer(event.repeat(4));
      await log.idle();
    }
    await log.close();
    const names = (await readdir(directory)).sort();
    assert.equal(names.length, 3);
    assert.match(names[0] ?? "", /^audit-2026-01-02T15-04-\d\d\.000\.log$/);
    assert.equal(names.at(-1), "audit.log");
    assert.equal(await readFile(path, "utf8"), `${"five".repeat(4)}\n`);
    const last = await readFile(join(directory, names[1] ?? ""), "utf8");
    assert.equal(last, `${"four".repeat(4)}\n`);
  }));

test("a path that cannot be written is refused at start", () =>
  within(async (path) => {
    await writeFile(path, "");
    await assert.rejects(open({ path: join(path, "audit.log") }), {
      message: /^--audit-log-path .*audit\.log: cannot be written: ENOTDIR/,
    });
  }));

/** Restarts give way to what serves: on Linux, where priorities can be taken back. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { getPriority } from "node:os";
import { test } from "node:test";
import { endGivingWay, giveWay } from "../../services/cli/yielding.ts";

const linux = process.platform === "linux" && existsSync("/proc/self/task");

test("a process gives way with all its threads, and takes its place again", {
  skip: !linux && "priorities of threads are Linux's",
}, async () => {
  const child = spawn(process.execPath, ["-e", "process.stdin.resume(); console.log('up')"], {
    detached: true,
    stdio: ["pipe", "pipe", "ignore"],
  });
  try {
    const pid = child.pid ?? 0;
    await new Promise((resolve) => child.stdout.once("data", resolve));
    const threads = () => readdirSync(`/proc/${pid}/task`).map((id) => getPriority(Number(id)));
    const before = new Set(threads());
    const session = () => {
      const file = `/proc/${pid}/autogroup`;
      return existsSync(file) ? /nice (-?\d+)/.exec(readFileSync(file, "utf8"))?.[1] : undefined;
    };
    const sessionBefore = session();
    if (!giveWay(pid))
      return assert.deepEqual([new Set(threads()), session()], [before, undefined]);
    assert.ok(session() === "10" || threads().every((nice) => nice > getPriority()));
    assert.ok(endGivingWay(pid));
    assert.deepEqual([new Set(threads()), session()], [before, sessionBefore]);
  } finally {
    child.kill("SIGKILL");
  }
});

test("a process that is gone does not give way, and nothing breaks", () => {
  assert.equal(giveWay(2 ** 30), false);
  assert.equal(endGivingWay(2 ** 30), true);
});

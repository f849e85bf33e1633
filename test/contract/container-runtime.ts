/**
 * What every ContainerRuntime promises (services/kubelet/runtime/types.ts). `open` gives a runtime on
 * `dir`; opening the same directory again stands for a kubelet that came back.
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type {
  Container,
  ContainerConfig,
  ContainerRuntime,
  RuntimeEvent,
} from "../../services/kubelet/runtime/types.ts";

const uid = "11111111-2222-3333-4444-555555555555";
const sandbox = {
  uid,
  namespace: "default",
  name: "web",
  hostname: "web",
  address: "127.64.9.1",
  hostNetwork: false,
};

function shell(script: string, more: Partial<ContainerConfig> = {}): ContainerConfig {
  return {
    podUid: uid,
    name: "main",
    attempt: 0,
    image: "label",
    command: ["sh", "-c", script],
    env: { COLOUR: "red" },
    mounts: [],
    specHash: "h1",
    ...more,
  };
}

export async function until<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  deadlineMillis = 10_000,
): Promise<T> {
  const end = performance.now() + deadlineMillis;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > end) throw new Error(`not within ${deadlineMillis} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export function containerRuntimeContract(
  name: string,
  open: (dir: string) => ContainerRuntime,
): void {
  describe(`container runtime ${name}`, () => {
    let dir: string;
    let runtime: ContainerRuntime;
    const events: RuntimeEvent[] = [];
    const status = (id: string): Container => {
      const found = runtime.containers().find((one) => one.id === id);
      assert.ok(found, "the container is listed");
      return found;
    };
    const exited = (id: string) =>
      until(`container ${id.slice(0, 8)} exits`, () => {
        const now = status(id);
        return now.state === "exited" && now;
      });
    const run = async (config: ContainerConfig): Promise<string> => {
      const id = await runtime.createContainer(config);
      assert.equal(status(id).state, "created");
      await runtime.startContainer(id);
      return id;
    };
    const output = async (id: string, more: object = {}): Promise<string> => {
      const pieces: Uint8Array[] = [];
      const signal = AbortSignal.timeout(10_000);
      for await (const piece of runtime.logs(id, { follow: false, signal, ...more })) {
        pieces.push(piece);
      }
      return Buffer.concat(pieces).toString();
    };
    const reopen = async () => {
      await runtime.close();
      runtime = open(dir);
      runtime.onEvent((event) => events.push(event));
      await runtime.load();
    };

    before(async () => {
      dir = await mkdtemp(join(tmpdir(), "trireme-runtime-"));
      runtime = open(dir);
      runtime.onEvent((event) => events.push(event));
      await runtime.load();
      await runtime.runSandbox(sandbox);
    });
    after(async () => {
      await runtime.removeSandbox(uid);
      assert.deepEqual(runtime.containers(), []);
      assert.deepEqual(runtime.sandboxes(), []);
      await runtime.close();
      await rm(dir, { recursive: true, force: true });
    });

    test("a sandbox keeps its address", async () => {
      const [listed] = runtime.sandboxes();
      assert.equal(listed?.address, "127.64.9.1");
      assert.equal(listed?.state, "ready");
    });

    test("runs a program, keeps its output and exit code, and tells of the exit", async () => {
      const id = await run(shell('echo "out $COLOUR"; echo err >&2; exit 3'));
      const end = await exited(id);
      assert.equal(end.exitCode, 3);
      assert.equal(end.reason, "Error");
      assert.ok((end.finishedAt ?? 0) >= (end.startedAt ?? Number.POSITIVE_INFINITY));
      assert.equal(await output(id), "out red\nerr\n");
      const told = () =>
        events.filter((event) => event.containerId === id && event.type === "exited").length;
      await until("its exit to be told", () => told() > 0);
      assert.equal(told(), 1);
    });

    test("exit code 0 is Completed", async () => {
      const end = await exited(await run(shell("true")));
      assert.deepEqual([end.exitCode, end.reason], [0, "Completed"]);
    });

    test("arguments and environment arrive unharmed", async () => {
      const odd = "a b'c\"d$e\\f`g\n*";
      const id = await run(shell("", { command: ["printf", "%s|", odd, ""], env: { X: odd } }));
      await exited(id);
      assert.equal(await output(id), `${odd}||`);
    });

    test("a program that is not there is a StartError that names it", async () => {
      const id = await run(shell("", { command: ["no-such-program-here"] }));
      const end = await exited(id);
      assert.deepEqual([end.exitCode, end.reason], [128, "StartError"]);
      assert.match(end.message ?? "", /no-such-program-here/);
    });

    test("no command is a configuration error", async () => {
      await assert.rejects(runtime.createContainer(shell("", { command: [] })), {
        name: "ContainerConfigError",
        message: /image "label": the process runtime runs programs of this machine/,
      });
    });

    test("stop lets a program end in order", async () => {
      const id = await run(
        shell("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done"),
      );
      await until("it is up", async () => (await output(id)).includes("up"));
      await runtime.stopContainer(id, 10_000);
      assert.equal(status(id).exitCode, 7);
      assert.match(await output(id), /bye/);
    });

    test("stop kills what does not heed the signal, with everything it started", async () => {
      const id = await run(
        shell("trap '' TERM; sleep 1000 & echo $! > pid; echo $$ >> pid; wait; sleep 1000", {
          workingDir: dir,
        }),
      );
      const pids = await until("both have started", async () => {
        const text = await readFile(join(dir, "pid"), "utf8").catch(() => "");
        return text.split("\n").length === 3 && text.trim().split("\n").map(Number);
      });
      await runtime.stopContainer(id, 100);
      assert.equal(status(id).exitCode, 137);
      for (const pid of pids) {
        await until(`process ${pid} is gone`, () => !isRunning(pid));
      }
    });

    test("a later stop shortens the grace", async () => {
      const id = await run(shell("trap '' TERM; echo up; while :; do sleep 0.05; done"));
      await until("it is up", async () => (await output(id)).includes("up"));
      const slow = runtime.stopContainer(id, 600_000);
      await runtime.stopContainer(id, 0);
      await slow;
      assert.equal(status(id).exitCode, 137);
    });

    test("background processes end with the main one", async () => {
      const id = await run(shell("sleep 1000 & echo $!"));
      await exited(id);
      const pid = Number(await output(id));
      await until("the background process is gone", () => !isRunning(pid));
    });

    test("a new instance adopts what runs and learns of its exit", async () => {
      const id = await run(
        shell("while [ ! -e go ]; do sleep 0.02; done; exit 5", { workingDir: dir }),
      );
      const startedAt = status(id).startedAt;
      await reopen();
      assert.equal(status(id).state, "running");
      assert.equal(status(id).startedAt, startedAt);
      assert.equal(runtime.sandboxes()[0]?.address, "127.64.9.1");
      const { writeFile } = await import("node:fs/promises");
      await writeFile(join(dir, "go"), "");
      const end = await exited(id);
      assert.equal(end.exitCode, 5);
      await until("its exit to be told", async () =>
        events.some((event) => event.containerId === id && event.type === "exited"),
      );
    });

    test("an exit that nobody saw is known afterwards, with its time", async () => {
      const id = await run(shell("sleep 0.1; exit 9"));
      await runtime.close();
      runtime = open(dir);
      await until("it has ended", async () => {
        await runtime.close();
        runtime = open(dir);
        await runtime.load();
        return status(id).state === "exited";
      });
      assert.equal(status(id).exitCode, 9);
      assert.ok((status(id).finishedAt ?? 0) <= Date.now());
      await reopen();
    });

    test("an adopted container can be stopped", async () => {
      const id = await run(shell("exec sleep 1000"));
      await reopen();
      await runtime.stopContainer(id, 5_000);
      assert.equal(status(id).exitCode, 143);
    });

    test("exec runs beside the container, in time and within bounds", async () => {
      const id = await run(shell("exec sleep 1000"));
      const good = await runtime.exec(id, ["sh", "-c", 'echo "$COLOUR"; exit 4'], 5_000);
      assert.deepEqual(good, { exitCode: 4, output: "red\n", timedOut: false });
      const slow = await runtime.exec(id, ["sleep", "1000"], 50);
      assert.equal(slow.timedOut, true);
      const missing = await runtime.exec(id, ["no-such-program-here"], 5_000);
      assert.notEqual(missing.exitCode, 0);
      await runtime.stopContainer(id, 0);
    });

    test("logs: tail, limit and follow to the end", async () => {
      const id = await run(
        shell("echo 1; echo 2; echo 3; while [ ! -e on ]; do sleep 0.02; done; echo 4", {
          workingDir: dir,
        }),
      );
      await until("three lines", async () => (await output(id)) === "1\n2\n3\n");
      assert.equal(await output(id, { tailLines: 2 }), "2\n3\n");
      assert.equal(await output(id, { tailLines: 0 }), "");
      assert.equal(await output(id, { limitBytes: 3 }), "1\n2");
      const followed = output(id, { follow: true, tailLines: 1 });
      const { writeFile } = await import("node:fs/promises");
      await writeFile(join(dir, "on"), "");
      assert.equal(await followed, "3\n4\n");
    });

    test("what a pod uses is counted", async () => {
      const id = await run(shell("while :; do :; done"));
      await until("cpu time has been used", async () => {
        const [use] = await runtime.resourceUse();
        return use !== undefined && use.cpuMillisTotal > 0 && use.memoryBytes > 0;
      });
      await runtime.stopContainer(id, 0);
    });

    test("stop and remove of what is not there succeed", async () => {
      await runtime.stopContainer("nobody", 0);
      await runtime.removeContainer("nobody");
      await runtime.removeSandbox("nobody");
    });
  });
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  return true;
}

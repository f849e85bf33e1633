import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { logLimits, rotateLog } from "../../services/kubelet/runtime/process/logs.ts";
import { createProcessRuntime } from "../../services/kubelet/runtime/process/mod.ts";
import { MountPoints } from "../../services/kubelet/runtime/process/mount-points.ts";
import { isAlive, parseStat, statOf } from "../../services/kubelet/runtime/process/proc.ts";
import { containerPath, findProgram } from "../../services/kubelet/runtime/process/program.ts";
import { shellWord } from "../../services/kubelet/runtime/process/shim.ts";
import type { ContainerConfig } from "../../services/kubelet/runtime/types.ts";
import { containerLifeContract } from "../contract/container-life.ts";
import { containerRuntimeContract } from "../contract/container-runtime.ts";
import { shellLife } from "../contract/shell-life.ts";
import { eventually, patienceMillis } from "../patience.ts";
import { silent } from "./support.ts";

containerRuntimeContract("process", (root) => createProcessRuntime({ root, log: silent }));
containerLifeContract("process", () =>
  shellLife((root) => createProcessRuntime({ root, log: silent }), "label"),
);

const uid = "aaaaaaaa-0000-0000-0000-000000000001";
const config = (command: readonly string[], more: Partial<ContainerConfig> = {}) => ({
  podUid: uid,
  name: "c",
  attempt: 0,
  image: "i",
  command,
  args: [],
  env: {},
  mounts: [],
  specHash: "",
  ...more,
});

async function withRuntime(
  act: (runtime: ReturnType<typeof createProcessRuntime>, dir: string) => Promise<void>,
  more: object = {},
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "trireme-process-"));
  const runtime = createProcessRuntime({ root: join(dir, "state"), log: silent, ...more });
  try {
    await runtime.load();
    await runtime.images.pull("i");
    const name = { namespace: "d", name: "p", hostname: "p" };
    await runtime.runSandbox({ uid, ...name, address: "127.64.0.9", hostNetwork: false });
    await act(runtime, dir);
  } finally {
    await runtime.removeSandbox(uid);
    await runtime.close();
    await rm(dir, { recursive: true, force: true });
  }
}

async function outputOf(
  runtime: ReturnType<typeof createProcessRuntime>,
  command: readonly string[],
  more: Partial<ContainerConfig> = {},
) {
  const id = await runtime.createContainer(config(command, more));
  await runtime.startContainer(id);
  const pieces: Uint8Array[] = [];
  const signal = AbortSignal.timeout(patienceMillis);
  for await (const piece of runtime.logs(id, { follow: true, signal })) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

describe("process runtime", () => {
  test("stat lines are read even when the program's name is odd", () => {
    const line = `42 (a) b (c)) S 1 40 41 0 -1 4194304 1 0 0 0 10 20 3 4 20 0 1 0 12345 1000 7 0`;
    const stat = parseStat(line);
    assert.deepEqual(
      [stat?.pid, stat?.state, stat?.processGroup, stat?.session, stat?.cpuTicks, stat?.startTicks],
      [42, "S", 40, 41, 37, 12345],
    );
    assert.equal(stat?.residentBytes, 7 * 4096);
    assert.equal(parseStat("nonsense"), undefined);
  });

  test("a reused pid is not taken for the process", () => {
    const self = statOf(process.pid);
    assert.ok(self);
    assert.equal(isAlive(process.pid, self.startTicks), true);
    assert.equal(isAlive(process.pid, self.startTicks - 1), false);
  });

  test("after a restart a foreign process with the recorded pid is neither adopted nor killed", async () => {
    const dir = await mkdtemp(join(tmpdir(), "trireme-reuse-"));
    const id = "b".repeat(64);
    const home = join(dir, "containers", id);
    await mkdir(home, { recursive: true });
    const record = {
      version: 1,
      id,
      config: config(["x"]),
      createdAt: 1,
      cgroups: [],
      launched: true,
    };
    await writeFile(join(home, "record.json"), JSON.stringify(record));
    // The pid is this very process, the start time is another's.
    const fields = (await readFile(`/proc/${process.pid}/stat`, "latin1")).trim().split(" ");
    fields[21] = "1";
    await writeFile(join(home, "shim"), fields.join(" "));
    await writeFile(join(home, "child"), fields.join(" "));
    const runtime = createProcessRuntime({ root: dir, log: silent });
    await runtime.load();
    const [container] = runtime.containers();
    assert.deepEqual(
      [container?.state, container?.exitCode, container?.reason],
      ["exited", 137, "ContainerStatusUnknown"],
    );
    await runtime.close();
    await rm(dir, { recursive: true });
  });

  test("a damaged record is set aside and the rest goes on", async () => {
    await withRuntime(async (runtime, dir) => {
      await runtime.close();
      const bad = join(dir, "state", "containers", "bad");
      await mkdir(bad);
      await writeFile(join(bad, "record.json"), "{half");
      const errors: string[] = [];
      const log = { ...silent, error: (text: string) => void errors.push(text), child: () => log };
      const again = createProcessRuntime({ root: join(dir, "state"), log });
      await again.load();
      assert.equal(again.sandboxes().length, 1);
      assert.equal(errors.length, 1);
      assert.equal((await readdir(join(dir, "state", "damaged"))).length, 1);
      await again.close();
    });
  });

  test("node is found on PATH, and a program's absence is explained", () => {
    assert.match(containerPath(undefined, "/x/bin/node"), /^\/x\/bin:/);
    assert.equal(containerPath("/mine", "/x/bin/node"), "/mine:/x/bin");
    assert.deepEqual(findProgram("sh", "/nowhere:/bin", "/"), { path: "/bin/sh" });
    assert.match(JSON.stringify(findProgram("./x", "", "/tmp/none")), /no such file/);
    assert.match(JSON.stringify(findProgram("/etc", "", "/")), /permission denied/);
  });

  test("a container's own search path is its program's alone", async () => {
    await withRuntime(async (runtime) => {
      const env = { PATH: "/nowhere" };
      const command = ["/bin/sh", "-c", "echo $PATH; exec /bin/sleep 1000"];
      const security = { noNewPrivileges: runtime.features().restrictPrivileges };
      const id = await runtime.createContainer(config(command, { env, security }));
      await runtime.startContainer(id);
      assert.deepEqual(
        runtime.containers().map(({ state, message }) => [state, message]),
        [["running", undefined]],
      );
      const { exitCode, output } = await runtime.exec(id, ["/bin/sh", "-c", "echo $PATH"], 60_000);
      assert.match(`${exitCode} ${output}`, /^0 \/nowhere:/);
    });
  });

  test("words survive sh", () => {
    assert.equal(shellWord("it's"), `'it'\\''s'`);
  });

  test("signals reach the program with their usual effect", async () => {
    await withRuntime(async (runtime) => {
      const id = await runtime.createContainer(config(["sleep", "1000"], { stopSignal: "SIGINT" }));
      await runtime.startContainer(id);
      await runtime.stopContainer(id, 60_000);
      assert.equal(runtime.containers()[0]?.exitCode, 130);
    });
  });

  test("volumes appear at their mount path, and read-only ones refuse writes", async (t) => {
    if (process.getuid?.() !== 0) return t.skip("needs root");
    await withRuntime(async (runtime, dir) => {
      await mkdir(join(dir, "volume"));
      await writeFile(join(dir, "volume", "file"), "hello");
      const target = join(dir, "mnt", "inner");
      const text = await outputOf(
        runtime,
        ["sh", "-c", `cat ${target}/file; echo x > ${target}/file || echo refused`],
        {
          mounts: [{ hostPath: join(dir, "volume"), containerPath: target, readOnly: true }],
        },
      );
      assert.match(text, /^hello/);
      assert.match(text, /refused\n$/);
      assert.deepEqual(await readdir(target), [], "outside the container nothing is mounted");
      await runtime.removeSandbox(uid);
      assert.equal((await readdir(dir)).includes("mnt"), false, "the mount point is removed");
    });
  });

  test("without mount namespaces a volume outside workingDir is refused with the reason", async () => {
    const capabilities = {
      root: false,
      mounts: false,
      setpriv: true,
      script: true,
      memoryCgroup: undefined,
      cpuCgroup: undefined,
    };
    await withRuntime(
      async (runtime, dir) => {
        await mkdir(join(dir, "volume"));
        await mkdir(join(dir, "wd"));
        await writeFile(join(dir, "volume", "file"), "hello");
        const mount = { hostPath: join(dir, "volume"), readOnly: false };
        const inside = await outputOf(runtime, ["cat", "data/file"], {
          workingDir: join(dir, "wd"),
          mounts: [{ ...mount, containerPath: join(dir, "wd", "data") }],
        });
        assert.equal(inside, "hello");
        const id = await runtime.createContainer(
          config(["true"], { mounts: [{ ...mount, containerPath: "/elsewhere" }] }),
        );
        await runtime.startContainer(id);
        const failed = runtime.containers().find((one) => one.id === id);
        assert.equal(failed?.reason, "StartError");
        assert.match(failed?.message ?? "", /mountPath must lie under workingDir/);
      },
      { capabilities },
    );
  });

  test("a container over its memory limit is OOMKilled", async (t) => {
    await withRuntime(async (runtime) => {
      const id = await runtime.createContainer(
        config(["sh", "-c", "x=x; while :; do x=$x$x; done"], { memoryLimitBytes: 16 * 2 ** 20 }),
      );
      const able = await import("../../services/kubelet/runtime/process/capabilities.ts");
      if ((await able.probeCapabilities("test", silent)).memoryCgroup === undefined) {
        return t.skip("no memory cgroup here");
      }
      await runtime.startContainer(id);
      const end = await eventually("it is killed", () => {
        const [now] = runtime.containers();
        return now?.state === "exited" && now;
      });
      assert.equal(end.reason, "OOMKilled");
    });
  });

  test("another user", async (t) => {
    if (process.getuid?.() !== 0) return t.skip("needs root");
    await withRuntime(async (runtime, dir) => {
      await chmod(dir, 0o755);
      const text = await outputOf(runtime, ["sh", "-c", "id -u; id -g"], {
        security: { runAsUser: 1234, runAsGroup: 77 },
      });
      assert.equal(text, "1234\n77\n");
    });
  });

  test("a hostname and a resolv.conf of its own, in exec as well", async (t) => {
    if (process.getuid?.() !== 0) return t.skip("needs root");
    await withRuntime(async (runtime) => {
      const dns = { servers: ["9.9.9.9"], searches: ["a", "b"], options: ["ndots:2"] };
      const name = { namespace: "d", name: "p", hostname: "own-name" };
      const address = "127.64.0.9";
      await runtime.runSandbox({ uid, ...name, address, hostNetwork: false, dns });
      const id = await runtime.createContainer(config(["sleep", "1000"]));
      await runtime.startContainer(id);
      const told = await runtime.exec(id, ["sh", "-c", "uname -n; cat /etc/resolv.conf"], 5_000);
      assert.equal(told.output, "own-name\nnameserver 9.9.9.9\nsearch a b\noptions ndots:2\n");
      assert.notEqual(hostname(), "own-name", "the machine keeps its own");
    });
  });

  test("a read-only root refuses writes but in volumes", async (t) => {
    if (process.getuid?.() !== 0) return t.skip("needs root");
    await withRuntime(async (runtime, dir) => {
      await mkdir(join(dir, "volume"));
      const script = `echo 1 > ${dir}/no; echo 2 > /tmp/no-$$; echo 3 > ${dir}/mnt/yes; cat ${dir}/mnt/yes`;
      const text = await outputOf(runtime, ["sh", "-c", script], {
        mounts: [
          { hostPath: join(dir, "volume"), containerPath: join(dir, "mnt"), readOnly: false },
        ],
        security: { readOnlyRootFilesystem: true },
      });
      assert.equal((text.match(/Read-only file system/g) ?? []).length, 2, text);
      assert.match(text, /3\n$/);
    });
  });

  test("capabilities are dropped, and privileges cannot be gained", async (t) => {
    if (process.getuid?.() !== 0) return t.skip("needs root");
    await withRuntime(async (runtime) => {
      const show = ["sh", "-c", "grep -E 'CapEff|NoNewPrivs' /proc/self/status"];
      const text = await outputOf(runtime, show, {
        security: {
          dropCapabilities: ["ALL"],
          addCapabilities: ["NET_BIND_SERVICE"],
          noNewPrivileges: true,
        },
      });
      assert.match(text, /CapEff:\s+0000000000000400\n/);
      assert.match(text, /NoNewPrivs:\s+1\n/);
      await assert.rejects(
        runtime.createContainer(config(["true"], { security: { addCapabilities: ["NONE_SUCH"] } })),
        /capabilities\.add: this machine cannot grant NONE_SUCH/,
      );
    });
  });

  test("supplementary groups without another user", async (t) => {
    if (process.getuid?.() !== 0) return t.skip("needs root");
    await withRuntime(async (runtime) => {
      const text = await outputOf(runtime, ["id", "-G"], {
        security: { supplementalGroups: [4001, 4002] },
      });
      assert.equal(text, "0 4001 4002\n");
    });
  });

  test("a mount inside another one, and a mount point that two pods share", async (t) => {
    if (process.getuid?.() !== 0) return t.skip("needs root");
    await withRuntime(async (runtime, dir) => {
      await mkdir(join(dir, "outer"));
      await mkdir(join(dir, "inner"));
      await writeFile(join(dir, "inner", "file"), "deep");
      const at = join(dir, "mnt");
      const mounts = [
        { hostPath: join(dir, "inner"), containerPath: join(at, "a", "b"), readOnly: true },
        { hostPath: join(dir, "outer"), containerPath: at, readOnly: false },
      ];
      assert.equal(await outputOf(runtime, ["cat", `${at}/a/b/file`], { mounts }), "deep");

      const other = "aaaaaaaa-0000-0000-0000-000000000002";
      const name = { namespace: "d", name: "q", hostname: "q" };
      await runtime.runSandbox({ uid: other, ...name, address: "127.64.0.8", hostNetwork: false });
      const wait = ["sh", "-c", `while [ ! -e ${at}/go ]; do sleep 0.02; done; ls ${at}`];
      const shared = config(wait, { podUid: other, mounts: mounts.slice(1) });
      const id = await runtime.createContainer(shared);
      await runtime.startContainer(id);
      await runtime.removeSandbox(uid);
      await writeFile(join(dir, "outer", "go"), "");
      const end = await eventually("it sees its volume", () => {
        const now = runtime.containers().find((one) => one.id === id);
        return now?.state === "exited" && now;
      });
      assert.equal(end.exitCode, 0);
      await runtime.removeSandbox(other);
      assert.equal((await readdir(dir)).includes("mnt"), false, "the last pod removes it");
    });
  });

  test("mount points of pods whose state was deleted go with the next kubelet", async (t) => {
    const dir = await mkdtemp(join(tmpdir(), "trireme-points-"));
    t.after(() => rm(dir, { recursive: true }));
    const points = new MountPoints((uid) => join(dir, "pods", uid), join(dir, "register"));
    await mkdir(join(dir, "pods", "a"), { recursive: true });
    await mkdir(join(dir, "pods", "b"));
    const mount = { hostPath: dir, containerPath: join(dir, "at", "point"), readOnly: false };
    assert.deepEqual(await points.acquire(mount, "a"), [join(dir, "at"), join(dir, "at", "point")]);
    await points.acquire(mount, "b");
    await rm(join(dir, "pods", "a"), { recursive: true });
    await points.sweep();
    assert.deepEqual(await readdir(join(dir, "at")), ["point"], "the other pod is there");
    await rm(join(dir, "pods", "b"), { recursive: true });
    await points.sweep();
    await points.sweep();
    assert.deepEqual((await readdir(dir)).sort(), ["pods", "register"]);
    assert.deepEqual(await readdir(join(dir, "register")), []);
  });

  test("a mount that fails is a StartError that says why", async (t) => {
    if (process.getuid?.() !== 0) return t.skip("needs root");
    await withRuntime(async (runtime, dir) => {
      await mkdir(join(dir, "volume"));
      await writeFile(join(dir, "file"), "");
      const mount = { hostPath: join(dir, "volume"), containerPath: join(dir, "file") };
      const id = await runtime.createContainer(
        config(["true"], { mounts: [{ ...mount, readOnly: false }] }),
      );
      await runtime.startContainer(id);
      const failed = runtime.containers().find((one) => one.id === id);
      assert.equal(failed?.reason, "StartError");
      assert.match(failed?.message ?? "", /the container could not be set up: mount: .*file/);
    });
  });

  test("programs have the OOM score that the container asks for", () =>
    withRuntime(async (runtime) => {
      const output = await outputOf(runtime, ["cat", "/proc/self/oom_score_adj"], {
        oomScore: 987,
      });
      assert.equal(output.trim(), "987");
    }));

  test("a running container gets a limit that it had not", () =>
    withRuntime(async (runtime) => {
      const id = await runtime.createContainer(config(["sleep", "1000"]));
      await assert.rejects(async () => runtime.updateContainer?.(id, { cpuLimitMillis: 100 }), {
        message: "container c is not running",
      });
      await runtime.startContainer(id);
      await runtime.updateContainer?.(id, { cpuLimitMillis: 100 });
      await runtime.updateContainer?.(id, { cpuLimitMillis: 200 });
      const grouped = await runtime.exec(
        id,
        ["sh", "-c", `grep -ls ${id} /proc/[0-9]*/cgroup | grep -q .`],
        5_000,
      );
      // Where no group can be made, nothing limits the container, of which its pod was warned.
      assert.equal(grouped.exitCode === 0, runtime.features().cpuLimits);
    }));

  test("disk that a pod takes is told by container", () =>
    withRuntime(async (runtime) => {
      await outputOf(runtime, ["sh", "-c", "head -c 200000 /dev/zero | tr '\\\\0' x"]);
      const use = await runtime.diskUse?.(uid);
      const [own] = use?.containers ?? [];
      assert.equal(own?.name, "c");
      assert.ok((own?.use.bytes ?? 0) >= 200_000, `${own?.use.bytes}`);
      assert.ok((use?.shared.entries ?? 0) >= 1);
    }));

  test("logs rotate and keep a bounded number of files", async () => {
    const dir = await mkdtemp(join(tmpdir(), "trireme-rotate-"));
    const path = join(dir, "log");
    for (let round = 0; round < 8; round++) {
      await writeFile(path, `round ${round}`);
      assert.equal(await rotateLog(path, 3), true);
    }
    assert.equal((await readFile(path, "utf8")).length, 0);
    assert.equal(await readFile(`${path}.1`, "utf8"), "round 7");
    assert.equal((await readdir(dir)).length, logLimits.filesMax);
    assert.equal(await rotateLog(path, 3), false);
    await rm(dir, { recursive: true });
  });
});

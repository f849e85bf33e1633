/**
 * What every ContainerRuntime promises (services/kubelet/runtime/types.ts). `open` gives a runtime on
 * `dir`; opening the same directory again stands for a kubelet that came back.
 */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type {
  Container,
  ContainerConfig,
  ContainerRuntime,
  ExecSession,
  Mount,
  RuntimeEvent,
  StreamOptions,
} from "../../services/kubelet/runtime/types.ts";
import { eventually, patienceMillis } from "../patience.ts";

const uid = "11111111-2222-3333-4444-555555555555";
const sandbox = {
  uid,
  namespace: "default",
  name: "web",
  hostname: "web",
  address: "127.64.9.1",
  hostNetwork: false,
};

/** In what runtimes may differ. */
export interface RuntimeTraits {
  /** Mounts by which containers see this directory of the node under its own path. */
  readonly shared?: (dir: string) => readonly Mount[];
  /** Serves at a port of the pod: `<…>` around what comes first, then `bye` after its end. */
  readonly serve?: (run: RunProgram) => Promise<EchoServer>;
  /** An image without a command of its own, and what is said of a container of it without one. */
  readonly noCommand?: { readonly image: string; readonly error: RegExp };
  /** The kubelet chooses the pod's address. */
  readonly givenAddress?: boolean;
  /** A connection to a port goes on when one side sends no more. */
  readonly halfCloses?: boolean;
  /** A caller that leaves an exec ends its program. */
  readonly endsExecs?: boolean;
  /** How many containers are started at once where many are. */
  readonly many?: number;
}

/** Runs a program in the pod; the answer ends it. */
type RunProgram = (command: readonly string[]) => Promise<() => Promise<void>>;
interface EchoServer {
  readonly port: number;
  close(): Promise<void>;
}

const processTraits: Required<RuntimeTraits> = {
  shared: () => [],
  serve: serveHere,
  noCommand: {
    image: "label",
    error: /image "label": the process runtime runs programs of this machine/,
  },
  givenAddress: true,
  halfCloses: true,
  endsExecs: true,
  many: 24,
};

/** From this process, which has the pod's address. */
async function serveHere(): Promise<EchoServer> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.on("data", (data) => socket.write(`<${data}>`));
    socket.on("end", () => socket.end("bye"));
  });
  await new Promise<void>((resolve) => server.listen(0, sandbox.address, resolve));
  return {
    port: (server.address() as { port: number }).port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

let attempts = 0;
let markers = 0;

/** Seconds that no other program sleeps: by them its processes are found. */
function marker(): string {
  markers += 1;
  return `${process.pid}${String(markers).padStart(3, "0")}`;
}

function shell(script: string, more: Partial<ContainerConfig> = {}): ContainerConfig {
  return {
    podUid: uid,
    name: "main",
    // A runtime may know a container by pod, name and attempt.
    attempt: attempts++,
    image: "label",
    command: ["sh", "-c", script],
    args: [],
    env: { COLOUR: "red" },
    mounts: [],
    specHash: "h1",
    ...more,
  };
}

export function containerRuntimeContract(
  name: string,
  open: (dir: string) => ContainerRuntime,
  different: RuntimeTraits = {},
): void {
  const traits = { ...processTraits, ...different };
  describe(`container runtime ${name}`, () => {
    let dir: string;
    let runtime: ContainerRuntime;
    const events: RuntimeEvent[] = [];
    const status = (id: string): Container => {
      const found = runtime.containers().find((one) => one.id === id);
      assert.ok(found, "the container is listed");
      return found;
    };
    let address = "";
    /** The test's directory as the container's own. */
    const here = (more: Partial<ContainerConfig> = {}) => ({
      workingDir: dir,
      mounts: traits.shared(dir),
      ...more,
    });
    const exited = (id: string) =>
      eventually(`container ${id.slice(0, 8)} exits`, () => {
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
      const signal = AbortSignal.timeout(patienceMillis);
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
      await runtime.images.pull("label");
      address = (await runtime.runSandbox(sandbox)).address;
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
      assert.equal(listed?.address, address);
      if (traits.givenAddress) assert.equal(address, sandbox.address);
      assert.notEqual(address, "");
      assert.equal(listed?.state, "ready");
    });

    test("runs a program, keeps its output and exit code, and tells of the exit", async () => {
      const id = await run(shell('echo "out $COLOUR"; echo err >&2; exit 3'));
      const end = await exited(id);
      assert.equal(end.exitCode, 3);
      assert.equal(end.reason, "Error");
      assert.ok((end.finishedAt ?? 0) >= (end.startedAt ?? Number.POSITIVE_INFINITY));
      // Two pipes: which line comes first is not said.
      assert.deepEqual((await output(id)).split("\n").sort(), ["", "err", "out red"]);
      const told = () =>
        events.filter((event) => event.containerId === id && event.type === "exited").length;
      await eventually("its exit to be told", () => told() > 0);
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

    test("arguments alone are the program, as with an image without an entrypoint", async () => {
      const id = await run(shell("", { command: [], args: ["printf", "%s", "hello"] }));
      assert.equal((await exited(id)).exitCode, 0);
      assert.equal(await output(id), "hello");
    });

    test("no command is a configuration error", async () => {
      const { image, error } = traits.noCommand;
      await runtime.images.pull(image);
      await assert.rejects(runtime.createContainer(shell("", { image, command: [] })), error);
    });

    test("stop lets a program end in order", async () => {
      const id = await run(
        shell("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done"),
      );
      await eventually("it is up", async () => (await output(id)).includes("up"));
      await runtime.stopContainer(id, 10_000);
      assert.equal(status(id).exitCode, 7);
      assert.match(await output(id), /bye/);
    });

    test("stop kills what does not heed the signal, with everything it started", async () => {
      const mine = marker();
      const script = `trap '' TERM; sleep ${mine} & echo up; wait; sleep ${mine}`;
      const id = await run(shell(script));
      await eventually("both have started", async () => (await running(mine)) >= 2);
      await eventually("it is up", async () => (await output(id)).includes("up"));
      await runtime.stopContainer(id, 100);
      assert.equal(status(id).exitCode, 137);
      await eventually("its processes are gone", async () => (await running(mine)) === 0);
    });

    test("a later stop shortens the grace", async () => {
      const id = await run(shell("trap '' TERM; echo up; while :; do sleep 0.05; done"));
      await eventually("it is up", async () => (await output(id)).includes("up"));
      const slow = runtime.stopContainer(id, 600_000);
      await runtime.stopContainer(id, 0);
      await slow;
      assert.equal(status(id).exitCode, 137);
    });

    test("background processes end with the main one", async () => {
      const mine = marker();
      const id = await run(shell(`sleep ${mine} & sleep 0.2; echo ended`));
      await exited(id);
      assert.equal(await output(id), "ended\n");
      await eventually("the background process is gone", async () => (await running(mine)) === 0);
    });

    test("a new instance adopts what runs and learns of its exit", async () => {
      const id = await run(shell("while [ ! -e go ]; do sleep 0.02; done; exit 5", here()));
      const startedAt = status(id).startedAt;
      await reopen();
      assert.equal(status(id).state, "running");
      assert.equal(status(id).startedAt, startedAt);
      assert.equal(runtime.sandboxes()[0]?.address, address);
      await writeFile(join(dir, "go"), "");
      const end = await exited(id);
      assert.equal(end.exitCode, 5);
      await eventually("its exit to be told", async () =>
        events.some((event) => event.containerId === id && event.type === "exited"),
      );
    });

    test("an exit while no kubelet ran is known afterwards, with its time", async () => {
      const id = await run(shell("sleep 0.1; exit 9"));
      await runtime.close();
      runtime = open(dir);
      await eventually("it has ended", async () => {
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
      const id = await run(shell("trap 'exit 143' TERM; echo up; while :; do sleep 0.05; done"));
      await eventually("it is up", async () => (await output(id)).includes("up"));
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
      const flood = ["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; exit 5"];
      const flooded = await runtime.exec(id, flood, 20_000);
      assert.deepEqual([flooded.exitCode, flooded.output.length], [5, 10 * 1024]);
      const missing = await runtime.exec(id, ["no-such-program-here"], 5_000);
      assert.notEqual(missing.exitCode, 0);
      await runtime.stopContainer(id, 0);
    });

    test("logs: tail, limit and follow to the end", async () => {
      const id = await run(
        shell("echo 1; echo 2; echo 3; while [ ! -e on ]; do sleep 0.02; done; echo 4", here()),
      );
      await eventually("three lines", async () => (await output(id)) === "1\n2\n3\n");
      assert.equal(await output(id, { tailLines: 2 }), "2\n3\n");
      assert.equal(await output(id, { tailLines: 0 }), "");
      assert.equal(await output(id, { limitBytes: 3 }), "1\n2");
      const followed = output(id, { follow: true, tailLines: 1 });
      await writeFile(join(dir, "on"), "");
      assert.equal(await followed, "3\n4\n");
    });

    test("what a pod uses is counted", async () => {
      const id = await run(shell("while :; do :; done"));
      await eventually("cpu time has been used", async () => {
        const [use] = await runtime.resourceUse();
        return use !== undefined && use.cpuMillisTotal > 0 && use.memoryBytes > 0;
      });
      const [use] = await runtime.resourceUse();
      const [container] = use?.containers ?? [];
      assert.equal(container?.id, id);
      assert.equal(container?.cpuMillisTotal, use?.cpuMillisTotal);
      assert.equal(container?.memoryBytes, use?.memoryBytes);
      await runtime.stopContainer(id, 0);
    });

    test("many short containers at once: each runs once, with its own exit code", async () => {
      const count = traits.many;
      const ids = await Promise.all(
        Array.from({ length: count }, (_, index) =>
          run(shell(`echo ran; exit ${index}`, { name: `short-${index}` })),
        ),
      );
      for (const [index, id] of ids.entries()) {
        const end = await exited(id);
        assert.deepEqual([end.exitCode, end.message], [index, undefined]);
        assert.equal(end.reason, index === 0 ? "Completed" : "Error");
        assert.equal(await output(id), "ran\n");
      }
    });

    test("many short execs at once: each has its own output and exit code", async () => {
      const id = await run(shell("exec sleep 1000"));
      const results = await Promise.all(
        Array.from({ length: traits.many }, (_, index) =>
          runtime.exec(id, ["sh", "-c", `echo ${index}; exit ${index}`], 30_000),
        ),
      );
      for (const [index, result] of results.entries()) {
        assert.deepEqual(result, { exitCode: index, output: `${index}\n`, timedOut: false });
      }
      await runtime.stopContainer(id, 0);
    });

    test("arguments follow the command", async () => {
      const id = await run(
        shell("", { command: ["sh", "-c", 'echo "$0:$1"'], args: ["zero", "one"] }),
      );
      await exited(id);
      assert.equal(await output(id), "zero:one\n");
    });

    test("an image is pulled before a container is made from it", async () => {
      const missing = shell("true", { image: "other:1" });
      await assert.rejects(runtime.createContainer(missing), /image "other:1" is not on this node/);
      assert.equal(runtime.images.status("other:1"), undefined);
      const pulled = await runtime.images.pull("other:1");
      assert.deepEqual(runtime.images.status("other:1")?.id, pulled.id);
      assert.notEqual(pulled.id, "other:1");
      assert.notEqual(pulled.id, (await runtime.images.pull("other:2")).id);
      const id = await run(missing);
      const { imageId } = status(id);
      assert.ok(imageId === pulled.id || pulled.names.includes(imageId), imageId);
      await exited(id);
      await assert.rejects(runtime.images.remove("other:1"), /in use/);
      await runtime.images.remove("other:2");
      await runtime.images.remove("other:2");
      assert.equal(runtime.images.status("other:2"), undefined);
      await reopen();
      const names = runtime.images.status("other:1")?.names ?? [];
      assert.ok(
        names.some((each) => each.endsWith("other:1")),
        names.join(),
      );
      await assert.rejects(runtime.images.pull("Not An Image"), /invalid reference format/);
    });

    test("status says that it is ready", async () => {
      assert.deepEqual(await runtime.status(), { runtimeReady: true, networkReady: true });
    });

    const collect = async (stream: AsyncIterable<Uint8Array>) => {
      const pieces: Uint8Array[] = [];
      for await (const piece of stream) pieces.push(piece);
      return Buffer.concat(pieces).toString();
    };
    const whole = async (session: ExecSession) => {
      const [stdout, stderr, exitCode] = await Promise.all([
        collect(session.stdout),
        collect(session.stderr),
        session.exitCode,
      ]);
      return { stdout, stderr, exitCode };
    };
    const streams = (more: Partial<StreamOptions> = {}): StreamOptions => ({
      stdin: false,
      tty: false,
      signal: AbortSignal.timeout(patienceMillis),
      ...more,
    });

    test("exec as streams: input, both outputs and the exit code", async () => {
      const id = await run(shell("exec sleep 1000"));
      const command = ["sh", "-c", 'read -r line; echo "$COLOUR $line"; cat >&2; exit 6'];
      const session = await runtime.execStream(id, command, streams({ stdin: true }));
      await session.write(Buffer.from("first\nrest"));
      session.endInput();
      assert.deepEqual(await whole(session), {
        stdout: "red first\n",
        stderr: "rest",
        exitCode: 6,
      });
      const stop = new AbortController();
      const long = await runtime.execStream(
        id,
        ["sleep", "1000"],
        streams({ signal: stop.signal }),
      );
      stop.abort();
      const ended = traits.endsExecs ? 137 : undefined;
      assert.equal(await long.exitCode, ended, "the signal ends the session");
      await runtime.stopContainer(id, 0);
      await assert.rejects(
        async () => runtime.execStream(id, ["true"], streams()),
        /is not running/,
      );
    });

    test("exec on a terminal, of a size that can be changed", async (t) => {
      if (!runtime.features().terminals) return t.skip("no terminals here");
      const id = await run(shell("exec sleep 1000"));
      const shows = (size: string) => `until stty size | grep "${size}"; do sleep 0.02; done`;
      const script = `test -t 0 && ${shows("17 91")}; read -r _; ${shows("23 101")}; exit 3`;
      const command = ["sh", "-c", script];
      const session = await runtime.execStream(
        id,
        command,
        streams({ stdin: true, tty: true, size: { columns: 91, rows: 17 } }),
      );
      let text = "";
      for await (const piece of session.stdout) {
        const before = text.includes("17 91");
        text += Buffer.from(piece).toString();
        if (before || !text.includes("17 91")) continue;
        await session.resize({ columns: 101, rows: 23 });
        await session.write(Buffer.from("\n"));
      }
      assert.match(text, /17 91[\s\S]*23 101/);
      assert.equal(await session.exitCode, 3);
      await runtime.stopContainer(id, 0);
    });

    test("attach: output from now on, input for one client after the other", async () => {
      const echo = 'echo up; while read -r line; do echo "got $line"; done; echo end; exit 4';
      const id = await run(shell(echo, { stdin: true, stdinOnce: true }));
      await eventually("it is up", async () => (await output(id)).includes("up"));
      const session = await runtime.attach(id, streams({ stdin: true }));
      await session.write(Buffer.from("one\n"));
      await eventually("it has read", async () => (await output(id)).includes("got one"));
      session.endInput();
      const { stdout, exitCode } = await whole(session);
      assert.equal(exitCode, 4, "stdinOnce: the first client's end is the end of the input");
      // A runtime may keep what was said before the first client came.
      assert.match(stdout, /^(up\n)?got one\nend\n$/);

      const kept = await run(shell(echo, { name: "kept", stdin: true }));
      await eventually("it is up", async () => (await output(kept)).includes("up"));
      for (const word of ["one", "two"]) {
        const leave = new AbortController();
        const client = await runtime.attach(kept, streams({ stdin: true, signal: leave.signal }));
        await client.write(Buffer.from(`${word}\n`));
        await eventually("it has read", async () => (await output(kept)).includes(`got ${word}`));
        leave.abort();
        assert.equal(await client.exitCode, undefined, "the container runs on");
      }
      await reopen();
      assert.equal(status(kept).state, "running");
      await runtime.stopContainer(kept, 0);
    });

    test("a container on a terminal ends with everything it runs there", async (t) => {
      if (!runtime.features().terminals) return t.skip("no terminals here");
      const mine = marker();
      const script = `trap '' HUP TERM; test -t 1 && echo tty; while :; do sleep ${mine}; done`;
      const id = await run(shell(script, { tty: true, stdin: true }));
      await eventually("it is up", async () => (await output(id)).includes("tty"));
      await eventually("it sleeps", async () => (await running(mine)) >= 2);
      await runtime.stopContainer(id, 50);
      await eventually("the program is gone", async () => (await running(mine)) === 0);
      const code = await exited(await run(shell("exit 9", { name: "tty", tty: true })));
      assert.equal(code.exitCode, 9);
    });

    test("port-forward reaches a port of the pod", async () => {
      const server = await traits.serve(async (command) => {
        const id = await run(shell("", { command }));
        return () => runtime.stopContainer(id, 0);
      });
      const { port } = server;
      const { signal } = new AbortController();
      const answer = async () => {
        const connection = await runtime.portForward(uid, port, signal);
        try {
          await connection.write(Buffer.from("hello"));
          let text = "";
          for await (const piece of connection.incoming) {
            text += Buffer.from(piece).toString();
            if (text === "<hello>") connection.end();
          }
          return text;
        } catch (error) {
          // The container runs, but its program does not listen yet.
          if (/failed to connect/.test((error as Error).message)) return undefined;
          throw error;
        } finally {
          connection.close();
        }
      };
      const text = await eventually("an answer from the port", answer);
      assert.equal(text, traits.halfCloses ? "<hello>bye" : "<hello>");
      await server.close();
      // A runtime may learn only later that the port cannot be reached.
      const refused = async () => collect((await runtime.portForward(uid, port, signal)).incoming);
      await assert.rejects(refused, /failed to connect/);
      await assert.rejects(runtime.portForward(uid, 0, signal), /port 0 is not within/);
      await assert.rejects(runtime.portForward("other", port, signal), /no ready sandbox/);
    });

    test("a program on a terminal counts for its pod", async (t) => {
      if (!runtime.features().terminals) return t.skip("no terminals here");
      const before = await runtime.resourceUse();
      assert.deepEqual(before, []);
      const id = await run(shell("while :; do :; done", { name: "busy", tty: true, stdin: true }));
      await eventually("its cpu time is counted", async () => {
        const [use] = await runtime.resourceUse();
        return (use?.cpuMillisTotal ?? 0) >= 100;
      });
      await runtime.stopContainer(id, 0);
    });

    test("stop and remove of what is not there succeed", async () => {
      await runtime.stopContainer("none-such", 0);
      await runtime.removeContainer("none-such");
      await runtime.removeSandbox("none-such");
    });
  });
}

/** How many processes of the machine name the marker; those that await their parent do not run. */
async function running(mine: string): Promise<number> {
  let found = 0;
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const text = await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => ""); // gone
    if (text.includes(mine)) found += 1;
  }
  return found;
}

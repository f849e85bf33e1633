/** Exec, attach and port-forward over gRPC: client, apiserver, kubelet, processes. */
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { duplexIterable } from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type {
  ExecOptions,
  ExecRequest,
  ExecResponse,
  PortForwardRequest,
} from "../../proto/gen/core.ts";
import { eventually } from "../patience.ts";
import { podAddress, type StreamWorld, streamLimits, streamWorld } from "./stream-world.ts";

let streams: StreamWorld;
before(async () => {
  streams = await streamWorld();
  await streams.start("main", "sleep 1000");
});
after(() => streams[Symbol.asyncDispose]());

const web = { name: "web", namespace: "default", container: "main" };
const both = { ...web, stdout: true, stderr: true };

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number | undefined;
}

async function* sent(...messages: ExecRequest[]): AsyncGenerator<ExecRequest> {
  yield* messages;
}

function sessionOf(
  method: "exec" | "attach",
  requests: AsyncIterable<ExecRequest>,
  settings: { user?: string; signal?: AbortSignal } = {},
) {
  const { client, metadata } = streams.pods(settings.user);
  return duplexIterable(client, method, requests, { metadata, signal: settings.signal });
}

async function outcomeOf(responses: AsyncIterable<ExecResponse>): Promise<Outcome> {
  const parts = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  let exitCode: number | undefined;
  for await (const response of responses) {
    if (response.stdout) parts.stdout.push(response.stdout);
    if (response.stderr) parts.stderr.push(response.stderr);
    exitCode ??= response.exitCode;
  }
  const stdout = Buffer.concat(parts.stdout).toString();
  return { stdout, stderr: Buffer.concat(parts.stderr).toString(), exitCode };
}

function run(options: ExecOptions, ...messages: ExecRequest[]): Promise<Outcome> {
  return outcomeOf(sessionOf("exec", sent({ options }, ...messages)));
}

async function failure(promise: Promise<unknown>): Promise<StatusError> {
  try {
    await promise;
  } catch (thrown) {
    assert.ok(thrown instanceof StatusError, String(thrown));
    return thrown;
  }
  assert.fail("it should have failed");
}

describe("exec", () => {
  test("outputs apart, exit code, environment of the container", async () => {
    const command = ["sh", "-c", "echo $COLOUR; echo no >&2; exit 7"];
    const outcome = await run({ ...both, command });
    assert.deepEqual(outcome, { stdout: "red\n", stderr: "no\n", exitCode: 7 });
  });

  test("input, cut at will, until its end", async () => {
    const stdin = Buffer.alloc(300_000, "abcdefghi\n");
    const options = { ...both, stdin: true, command: ["sha256sum"] };
    const { createHash } = await import("node:crypto");
    const digest = createHash("sha256").update(stdin).update(stdin).digest("hex");
    const byEnd = await run(options, { stdin }, { stdin });
    assert.equal(byEnd.stdout, `${digest}  -\n`);
    // The end of input as a message leaves the rest of the stream open.
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    async function* requests(): AsyncGenerator<ExecRequest> {
      yield { options, stdin };
      yield { stdin, stdinEnded: true };
      await held;
    }
    const byMessage = await outcomeOf(sessionOf("exec", requests()));
    release();
    assert.deepEqual([byMessage.stdout, byMessage.exitCode], [`${digest}  -\n`, 0]);
  });

  test("a terminal, its size and its changes", async () => {
    const command = ["sh", "-c", "stty size; read -r _; stty size; tty"];
    let ask = () => {};
    const asked = new Promise<void>((resolve) => {
      ask = resolve;
    });
    async function* requests(): AsyncGenerator<ExecRequest> {
      const options = { ...web, stdin: true, stdout: true, tty: true, command };
      yield { options, resize: { width: 91, height: 23 } };
      await asked;
      yield { resize: { width: 0, height: 0 } };
      yield { resize: { width: 100, height: 40 } };
      yield { stdin: Buffer.from("go\n") };
    }
    let text = "";
    let exitCode: number | undefined;
    for await (const response of sessionOf("exec", requests())) {
      text += response.stdout?.toString() ?? "";
      if (text.includes("23 91")) ask();
      exitCode ??= response.exitCode;
    }
    assert.match(text, /23 91\r\n[\s\S]*40 100\r\n\/dev\/pts\//);
    assert.equal(exitCode, 0);
  });

  test("unwanted output is thrown away, whatever its size", async () => {
    const command = ["sh", "-c", "head -c 400000 /dev/zero; echo end >&2"];
    const outcome = await run({ ...web, stderr: true, command });
    assert.deepEqual(outcome, { stdout: "", stderr: "end\n", exitCode: 0 });
  });

  test("a reader that pauses holds the program back and loses nothing", async () => {
    const command = ["sh", "-c", "head -c 8000000 /dev/zero | tr '\\0' x; echo done >&2"];
    let length = 0;
    let done = false;
    let reads = 0;
    for await (const { stdout, stderr } of sessionOf(
      "exec",
      sent({ options: { ...both, command } }),
    )) {
      if (reads++ === 0) assert.equal(done, false, "the program cannot be done yet");
      length += stdout?.length ?? 0;
      if (stderr !== undefined) done = true;
    }
    assert.deepEqual([length, done], [8_000_000, true]);
  });

  test("what a program leaves behind does not hold the session", async () => {
    // It ends only when what it leaves behind has said its pid.
    const said = join(mkdtempSync(join(tmpdir(), "trireme-exec-")), "said");
    const script = `setsid sh -c 'echo $$; touch ${said}; exec sleep 1000' &
      while [ ! -e ${said} ]; do sleep 0.01; done`;
    const outcome = await run({ ...both, command: ["sh", "-c", script] });
    const left = Number(outcome.stdout);
    assert.equal(outcome.exitCode, 0);
    // A pid below 2 would mean this test's own process group.
    assert.ok(left > 1, `"${outcome.stdout}" is the pid`);
    assert.ok(alive(left), "it runs on");
    process.kill(left);
  });

  test("a caller that leaves ends the program", async () => {
    const abort = new AbortController();
    const options = { ...both, command: ["sh", "-c", "echo $$; exec sleep 1000"] };
    const responses = sessionOf("exec", sent({ options }), { signal: abort.signal });
    const first = await responses.next();
    assert.ok(!first.done);
    const pid = Number(first.value.stdout?.toString());
    abort.abort();
    await failure(responses.next());
    await eventually("the program to end", () => !alive(pid));
  });

  test("a program that cannot be found says so", async () => {
    const outcome = await run({ ...both, command: ["/no/such/program"] });
    assert.equal(outcome.exitCode, 127);
    assert.match(outcome.stderr, /no\/such\/program/);
  });

  const refusals: [string, ExecRequest, keyof typeof Code, string | RegExp][] = [
    ["no options", { stdin: Buffer.from("x") }, "invalidArgument", /^options: missing/],
    [
      "no such pod",
      { options: { ...both, name: "none", command: ["ls"] } },
      "notFound",
      'pods "none" not found',
    ],
    [
      "no such container",
      { options: { ...both, container: "other", command: ["ls"] } },
      "invalidArgument",
      "container other is not valid for pod web",
    ],
    [
      "several containers and no name",
      { options: { ...both, container: "", command: ["ls"] } },
      "invalidArgument",
      "a container name must be specified for pod web, choose one of: [main side] " +
        "or one of the init containers: [setup]",
    ],
    [
      "a pod without a node",
      { options: { name: "floating", namespace: "default", stdout: true, command: ["ls"] } },
      "invalidArgument",
      "pod floating does not have a host assigned",
    ],
    [
      "a container that does not run",
      { options: { ...both, container: "side", command: ["ls"] } },
      "notFound",
      'container not found ("side")',
    ],
    [
      "no stream wanted",
      { options: { ...web, command: ["ls"] } },
      "invalidArgument",
      "you must specify at least 1 of stdin, stdout, stderr",
    ],
    [
      "no command",
      { options: both },
      "invalidArgument",
      "you must specify at least one command for the container",
    ],
  ];
  for (const [name, first, code, message] of refusals) {
    test(`refused: ${name}`, async () => {
      const error = await failure(outcomeOf(sessionOf("exec", sent(first))));
      assert.equal(error.code, Code[code], error.message);
      if (typeof message === "string") assert.equal(error.message, message);
      else assert.match(error.message, message);
    });
  }

  test("refused: a second message with options ends the session", async () => {
    const options = { ...both, stdin: true, command: ["cat"] };
    const error = await failure(run(options, { options }));
    assert.match(error.message, /^options: only the first/);
  });

  test("refused: a caller without the right", async () => {
    const options = { ...both, command: ["ls"] };
    for (const method of ["exec", "attach"] as const) {
      const asked = sessionOf(method, sent({ options }), { user: "mallory" });
      const error = await failure(outcomeOf(asked));
      assert.equal(error.code, Code.permissionDenied);
      assert.match(
        error.message,
        new RegExp(
          `^pods "web" is forbidden: User "mallory" cannot create resource "pods/${method}"`,
        ),
      );
    }
  });

  test("the node takes so many sessions and no more", async () => {
    const options = { ...both, stdin: true, command: ["cat"] };
    const abort = new AbortController();
    async function* waiting(): AsyncGenerator<ExecRequest> {
      yield { options, stdin: Buffer.from("x") };
      await new Promise<void>((resolve) => abort.signal.addEventListener("abort", () => resolve()));
    }
    const open = () => sessionOf("exec", waiting(), { signal: abort.signal });
    const opened = Array.from({ length: streamLimits.sessionsMax }, open);
    try {
      const firsts = await Promise.all(opened.map((each) => each.next()));
      assert.ok(firsts.every((first) => !first.done && first.value.stdout?.toString() === "x"));
      const error = await failure(open().next());
      assert.equal(error.code, Code.resourceExhausted);
      assert.match(error.message, /^more than 12 exec and attach sessions on this node/);
    } finally {
      abort.abort();
    }
    await Promise.all(opened.map((each) => each.return(undefined)));
    await eventually("a place to be free", () =>
      run({ ...both, command: ["true"] }).catch(() => false),
    );
  });
});

describe("attach", () => {
  test("output from now on, input, and the end with the program", async () => {
    const script = "while read -r line; do echo got $line; done; echo bye; exit 3";
    await streams.start("side", script, { stdin: true, stdinOnce: true });
    async function* requests(): AsyncGenerator<ExecRequest> {
      const options = { ...both, container: "side", stdin: true };
      yield { options, stdin: Buffer.from("one\n") };
      yield { stdin: Buffer.from("two\n"), stdinEnded: true };
    }
    const outcome = await outcomeOf(sessionOf("attach", requests()));
    assert.equal(outcome.stdout, "got one\ngot two\nbye\n");
    assert.equal(outcome.exitCode, undefined, "an attached program's exit is in the pod's status");
  });

  test("leaving does not end the program", async () => {
    const id = await streams.start("side", "while :; do echo tick; sleep 0.05; done");
    const options = { ...both, container: "side" };
    for await (const { stdout } of sessionOf("attach", sent({ options }))) {
      assert.match(stdout?.toString() ?? "", /tick/);
      break;
    }
    const state = () => streams.runtime.containers().find((one) => one.id === id)?.state;
    assert.equal(state(), "running");
    await streams.runtime.stopContainer(id, 0);
  });

  test("a command is refused", async () => {
    const options = { ...both, command: ["ls"] };
    const error = await failure(outcomeOf(sessionOf("attach", sent({ options }))));
    assert.match(error.message, /options\.command/);
  });
});

describe("port-forward", () => {
  let echo: Server;
  let port: number;
  before(async () => {
    echo = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => undefined);
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => echo.listen(0, podAddress, resolve));
    port = (echo.address() as { port: number }).port;
  });
  after(() => echo.close());

  function forward(requests: AsyncIterable<PortForwardRequest>, user?: string) {
    const { client, metadata } = streams.pods(user);
    return duplexIterable(client, "portForward", requests, { metadata });
  }

  async function* ask(...messages: PortForwardRequest[]): AsyncGenerator<PortForwardRequest> {
    yield* messages;
  }

  async function received(responses: ReturnType<typeof forward>): Promise<Buffer> {
    const pieces: Uint8Array[] = [];
    for await (const { data } of responses) if (data) pieces.push(data);
    return Buffer.concat(pieces);
  }

  test("bytes both ways, half-closed, several at a time", async () => {
    const data = Buffer.alloc(1_000_000, "0123456789");
    const options = { name: "web", namespace: "default", port };
    const all = await Promise.all(
      [1, 2, 3].map(() => received(forward(ask({ options }, { data }, { data, ended: true })))),
    );
    for (const got of all) assert.ok(got.equals(Buffer.concat([data, data])));
  });

  test("a port where nothing listens, one out of range, no right", async () => {
    const options = { name: "web", namespace: "default", port: 1 };
    const closed = await failure(received(forward(ask({ options }))));
    assert.equal(closed.code, Code.unavailable);
    assert.match(closed.message, /failed to connect to 127\.64\.9\.77:1 of the pod/);
    const wrong = await failure(received(forward(ask({ options: { ...options, port: 70_000 } }))));
    assert.match(wrong.message, /port 70000: must be between 1 and 65535/);
    const denied = await failure(received(forward(ask({ options }), "mallory")));
    assert.match(denied.message, /cannot create resource "pods\/portforward"/);
  });
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

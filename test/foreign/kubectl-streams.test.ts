/** The real kubectl into pods that really run: exec, attach, cp, port-forward, logs, run, debug. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { eventually } from "../patience.ts";
import { kubectl, type Outcome } from "./kubectl-process.ts";
import { needs } from "./needs.ts";
import { type NodeWorld, nodeWorld } from "./node-world.ts";

const pods = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  nodeName: n1
  terminationGracePeriodSeconds: 0
  initContainers:
  - {name: setup, image: busybox, command: [sh, -c, echo set up]}
  containers:
  - {name: main, image: busybox, command: [sh, -c, "echo first; while :; do sleep 0.1; echo tick; done"]}
  - {name: side, image: busybox, stdin: true, command: [sh, -c, "while read -r l; do echo got $l; done"]}
---
apiVersion: v1
kind: Pod
metadata: {name: crashing}
spec:
  nodeName: n1
  restartPolicy: OnFailure
  containers:
  - {name: only, image: busybox, command: [sh, -c, "echo run; sleep 0.2; exit 1"]}
---
apiVersion: v1
kind: Pod
metadata: {name: pending}
spec:
  containers:
  - {name: only, image: busybox, command: [sleep, "1"]}
`;

suite("kubectl into pods", needs("kubectl", "kubernetes-client"), () => {
  let node: NodeWorld;
  const children: ChildProcess[] = [];

  const run = (args: readonly string[], input?: string) =>
    kubectl(node.kubeconfig, args, input === undefined ? {} : { input });
  const ok = async (line: string, input?: string): Promise<string> => {
    const { code, out, err } = await run(line.split(" "), input);
    assert.equal(code, 0, `kubectl ${line}\n${out}\n${err}`);
    return out;
  };
  /** A command line that goes on; its output so far. */
  const start = (line: string, more: Record<string, string> = {}) => {
    const all = ["--kubeconfig", node.kubeconfig, ...line.split(" ")];
    const child = spawn("kubectl", all, { env: { ...process.env, ...more } });
    children.push(child);
    const output = { text: "" };
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (piece: Buffer) => (output.text += piece));
    }
    return { child, output };
  };
  /** On a terminal of its own. */
  const onTerminal = (line: string): Promise<Outcome> => {
    const command = `kubectl --kubeconfig ${node.kubeconfig} ${line}`;
    const child = spawn("script", ["-qec", command, "/dev/null"], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    children.push(child);
    return new Promise((resolve) => {
      let out = "";
      child.stdout.on("data", (piece: Buffer) => (out += piece));
      child.once("close", (code) => resolve({ code, out, err: "" }));
    });
  };

  before(async () => {
    node = await nodeWorld();
    await ok("apply -f -", pods);
    await ok("wait --for=condition=Ready pod/web --timeout=30s");
  });
  after(async () => {
    for (const child of children) child.kill();
    await node[Symbol.asyncDispose]();
  });

  test("exec: outputs apart, exit code, input", async () => {
    const told = ["exec", "web", "-c", "main", "--", "sh", "-c", "echo out; echo err >&2; exit 42"];
    const { code, out, err } = await run(told);
    assert.deepEqual([code, out], [42, "out\n"]);
    assert.equal(err, "err\ncommand terminated with exit code 42\n");
    const data = randomBytes(200_000).toString("base64");
    assert.equal(await ok("exec -i web -c main -- cat", data), data);
  });

  test("exec -it on a terminal, with its exit code", async () => {
    const { code, out } = await onTerminal("exec -it web -c main -- sh -c 'tty; exit 4'");
    assert.match(out, /\/dev\/pts\/\d+\r\n/);
    assert.match(out, /command terminated with exit code 4/);
    assert.equal(code, 4);
  });

  test("over SPDY, as older clients do it", async () => {
    const env = {
      KUBECTL_REMOTE_COMMAND_WEBSOCKETS: "false",
      KUBECTL_PORT_FORWARD_WEBSOCKETS: "false",
    };
    const told = ["exec", "-i", "web", "-c", "main", "--", "sh", "-c", "cat; echo err >&2; exit 5"];
    const { code, out, err } = await kubectl(node.kubeconfig, told, { input: "in\n", env });
    assert.deepEqual([code, out], [5, "in\n"]);
    assert.equal(err, "err\ncommand terminated with exit code 5\n");
    const podIP = await ok("get pod web -o jsonpath={.status.podIP}");
    const server = createServer((_, response) => response.end("over SPDY"));
    await new Promise<void>((resolve) => server.listen(0, podIP, resolve));
    const { port } = server.address() as AddressInfo;
    const { child, output } = start(`port-forward pod/web :${port}`, env);
    const local = await eventually(
      "the port",
      () => /127\.0\.0\.1:(\d+) ->/.exec(output.text)?.[1],
    );
    const got = await fetch(`http://127.0.0.1:${local}/`).then((response) => response.text());
    assert.equal(got, "over SPDY");
    child.kill();
    server.closeAllConnections();
    server.close();
  });

  const refusals: [string, RegExp][] = [
    [
      "exec web -c nope -- ls",
      /^Error from server \(BadRequest\): container nope is not valid for pod web/m,
    ],
    ["exec none -- ls", /^Error from server \(NotFound\): pods "none" not found/m],
    ["exec pending -- ls", /pod pending does not have a host assigned/],
    ["exec web -c setup -- ls", /unable to upgrade connection: container not found \("setup"\)/],
    ["logs web -c nope", /container nope is not valid for pod web/],
    ["logs web -c main --previous", /previous terminated container "main" in pod "web" not found/],
    ["port-forward none 1", /pods "none" not found/],
  ];
  for (const [line, words] of refusals) {
    test(`refused: ${line}`, async () => {
      const { code, err } = await run(line.split(" "));
      assert.notEqual(code, 0);
      assert.match(err, words);
    });
  }

  test("cp, both ways", async () => {
    const [local, back] = ["sent.bin", "back.bin"].map((name) => join(node.directory, name));
    const remote = join(node.directory, "remote.bin");
    const data = randomBytes(2_000_000);
    await writeFile(local as string, data);
    await ok(`cp ${local} web:${remote} -c main`);
    assert.ok((await readFile(remote)).equals(data));
    await ok(`cp web:${remote} ${back} -c main`);
    assert.ok((await readFile(back as string)).equals(data));
  });

  test("port-forward, and what it says of a closed port", async () => {
    const podIP = await ok("get pod web -o jsonpath={.status.podIP}");
    const body = randomBytes(500_000).toString("hex");
    const server: Server = createServer((_, response) => response.end(body));
    await new Promise<void>((resolve) => server.listen(0, podIP, resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const { child, output } = start(`port-forward pod/web :${port} :1`);
      const local = await eventually("the ports", () => {
        const found = [...output.text.matchAll(/127\.0\.0\.1:(\d+) -> (\d+)/g)];
        return found.length === 2 && found.map((each) => Number(each[1]));
      });
      const get = (at: number) => fetch(`http://127.0.0.1:${local[at]}/`).then((r) => r.text());
      const got = await Promise.all([get(0), get(0), get(0)]);
      for (const each of got) assert.equal(each, body);
      await assert.rejects(get(1));
      await eventually("the word of it", () =>
        /error forwarding port 1 to pod web/.test(output.text),
      );
      await eventually("the end", () => child.exitCode !== null);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  test("attach: output from now on, and input", async () => {
    const { child, output } = start("attach -i web -c side");
    child.stdin?.write("hello\n");
    await eventually("the echo", () => output.text.includes("got hello"));
    child.kill();
  });

  test("logs: -f, --tail, --since, --timestamps, --limit-bytes, --previous, of an init container", async () => {
    assert.equal(await ok("logs web -c setup"), "set up\n");
    assert.match(await ok("logs web -c main"), /^first\ntick\n/);
    assert.equal(await ok("logs web -c main --tail=1"), "tick\n");
    assert.equal(await ok("logs web -c main --limit-bytes=8"), "first\nti");
    assert.match(
      await ok("logs web -c main --since=1h --tail=2 --timestamps"),
      /^(\d{4}-\S+Z tick\n){2}$/,
    );
    assert.equal(await ok("logs web -c main --since-time=2100-01-01T00:00:00Z"), "");
    assert.match(
      await ok("logs web --all-containers --prefix --tail=1"),
      /^\[pod\/web\/main\] tick$/m,
    );
    assert.equal(await ok("logs pending"), "");
    const { output, child } = start("logs -f web -c main --tail=1");
    await eventually("lines that came later", () => /^tick\ntick\ntick\n/.test(output.text));
    child.kill();
    const twice = (
      await run(["logs", "web", "-c", "main", "--since=1s", "--since-time=2026-01-01T00:00:00Z"])
    ).err;
    assert.match(twice, /at most one of/);
    await eventually(
      "a second run",
      async () => (await run(["logs", "crashing", "-p"])).code === 0,
    );
    assert.equal(await ok("logs crashing --previous"), "run\n");
  });

  const overrides = `--overrides={"spec":{"nodeName":"n1"}}`;

  test("run -i --rm: input, output, exit code, and the pod is gone", async () => {
    const words = ["run", "once", "-i", "--rm", "--restart=Never", "--image=busybox", overrides];
    const { code, out } = await run(
      [...words, "--command", "--", "sh"],
      "sleep 1; echo ran; exit 3\n",
    );
    assert.match(out, /ran/);
    assert.equal(code, 3);
    assert.match((await run(["get", "pod", "once"])).err, /not found/);
  });

  test("run -i --rm of programs that end at once: each is heard, and gone", async () => {
    const one = async (name: string) => {
      const words = ["run", name, "-i", "--rm", "--restart=Never", "--image=busybox", overrides];
      const { code, out, err } = await run([...words, "--", "echo", `hi ${name}`]);
      assert.equal(code, 0, err);
      assert.match(out, new RegExp(`^hi ${name}$`, "m"));
    };
    await Promise.all(["a", "b", "c", "d"].map(one));
    await Promise.all(["e", "f", "g", "h"].map(one));
  });

  test("debug: a container beside the others", async () => {
    const words = ["debug", "-i", "web", "--image=busybox", "--profile=general", "-c", "dbg"];
    const { code, out, err } = await run(
      [...words, "--", "sh"],
      "sleep 0.5; echo debugged; exit\n",
    );
    assert.equal(code, 0, err);
    assert.match(out, /debugged/);
    const path = "jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}";
    await eventually("its end", async () => (await ok(`get pod web -o ${path}`)) === "0");
    assert.equal(await ok("logs web -c dbg"), "debugged\n");
  });
});

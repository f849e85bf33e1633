/** `trireme logs`, `exec`, `attach` and `port-forward` against pods that really run. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";

import { podAddress, type StreamWorld, streamWorld } from "../kubelet/stream-world.ts";
import { eventually } from "../patience.ts";

let streams: StreamWorld;
const children: ChildProcess[] = [];
before(async () => {
  streams = await streamWorld();
  await streams.start("main", "echo one; echo two; exec sleep 1000");
  await streams.start("side", "while read -r line; do echo got $line; done", {
    stdin: true,
    stdinOnce: true,
  });
});
after(async () => {
  for (const child of children) child.kill();
  await streams[Symbol.asyncDispose]();
});

function start(...args: string[]) {
  const [verb = "", ...rest] = args;
  const all = ["services/cli/main.ts", verb, "--server", streams.address, ...rest];
  const child = spawn(process.execPath, all, { stdio: ["pipe", "pipe", "pipe"] });
  children.push(child);
  const output = { out: "", err: "" };
  child.stdout.on("data", (piece: Buffer) => (output.out += piece));
  child.stderr.on("data", (piece: Buffer) => (output.err += piece));
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  return { child, output, ended };
}

async function run(args: readonly string[], input = "") {
  const { child, output, ended } = start(...args);
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  return { code: await ended, ...output };
}

test("exec: outputs apart, input, exit code", async () => {
  const script = "cat; echo err >&2; exit 7";
  const told = await run(["exec", "pod/web", "-c", "main", "-i", "--", "sh", "-c", script], "in\n");
  assert.deepEqual(told, {
    code: 7,
    out: "in\n",
    err: "err\ncommand terminated with exit code 7\n",
  });
});

test("exec: what the server refuses", async () => {
  const { code, err } = await run(["exec", "web", "-c", "nope", "--", "ls"]);
  assert.equal(code, 1);
  assert.equal(err, "Error from server (BadRequest): container nope is not valid for pod web\n");
});

test("logs, with its options", async () => {
  assert.equal((await run(["logs", "web", "-c", "main"])).out, "one\ntwo\n");
  const stamped = await run([
    "logs",
    "web",
    "-c",
    "main",
    "--tail=1",
    "--timestamps",
    "--since=1h",
  ]);
  assert.match(stamped.out, /^\d{4}-\S+Z two\n$/);
  const wrong = await run(["logs", "web", "--since", "soon"]);
  assert.match(wrong.err, /a number with s, m or h is wanted/);
});

test("attach", async () => {
  const { child, output, ended } = start("attach", "web", "-c", "side", "-i");
  child.stdin.write("hello\n");
  await eventually("the echo", () => output.out === "got hello\n");
  child.stdin.end();
  assert.equal(await ended, 0, output.err);
});

test("port-forward", async () => {
  const server = createServer((_, response) => response.end("forwarded"));
  await new Promise<void>((resolve) => server.listen(0, podAddress, resolve));
  const { port } = server.address() as AddressInfo;
  const { output } = start("port-forward", "web", `:${port}`, ":1");
  const ports = await eventually("the ports", () => {
    const found = [...output.out.matchAll(/Forwarding from 127\.0\.0\.1:(\d+)/g)];
    return found.length === 2 && found.map((each) => Number(each[1]));
  });
  const text = await fetch(`http://127.0.0.1:${ports[0]}/`).then((response) => response.text());
  assert.equal(text, "forwarded");
  await assert.rejects(fetch(`http://127.0.0.1:${ports[1]}/`));
  await eventually("the word of it", () =>
    /failed to connect to \S+:1 of the pod/.test(output.err),
  );
  server.close();
  server.closeAllConnections();
  const wrong = await run(["port-forward", "web", "80:x"]);
  assert.match(wrong.err, /port "80:x": LOCAL:REMOTE/);
});

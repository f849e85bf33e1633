import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { productionClock as clock } from "../../ha/runtime/production/clock.ts";
import { type AffinityEntry, AffinityTable } from "../../services/kube-proxy/affinity.ts";
import { proxyLimits } from "../../services/kube-proxy/limits.ts";
import { datagramsOf, readPeerMessage } from "../../services/kube-proxy/peer-messages.ts";
import { Peers } from "../../services/kube-proxy/peers.ts";
import { ServiceProxy } from "../../services/kube-proxy/proxy.ts";

import { silent } from "../kubelet/support.ts";
import { eventually } from "../patience.ts";
import { freePort } from "../ports.ts";
import { ruleOf } from "./rule.ts";

const closers: (() => void)[] = [];
after(() => {
  for (const close of closers) close();
});

function newPeers(
  node: string,
  port: number,
  more: Partial<ConstructorParameters<typeof Peers>[0]>,
) {
  const peers = new Peers({
    nodeName: node,
    nodeIP: "127.0.0.1",
    port,
    instance: node,
    clock,
    log: silent,
    changed: () => undefined,
    learned: () => undefined,
    known: () => [],
    ...more,
  });
  closers.push(() => peers.close());
  return peers;
}

test("proxies of one machine know each other's nodes, and a new one learns what is known", async () => {
  const port = await freePort();
  const entries = Array.from({ length: 200 }, (_, index): AffinityEntry => {
    return { key: "d/web:http", client: `10.0.0.${index}`, target: "127.64.0.1:80", generation: 0 };
  });
  const one = newPeers("n1", port, { known: () => entries });
  await one.start();
  const learned = new Map<string, AffinityEntry>();
  const learn = (entry: AffinityEntry) => void learned.set(entry.client, entry);
  const two = newPeers("n2", port, { nodeIP: "127.0.0.2", learned: learn });
  await two.start();
  await eventually("they see each other", () => one.nodes().size === 2 && two.nodes().size === 2);
  assert.deepEqual([...one.nodes("127.0.0.1")], ["n1"]);
  await eventually("the new one has learned everything", () => learned.size === entries.length);
  const news = { key: "d/web:http", client: "10.1.0.1", target: "127.64.0.2:80", generation: 3 };
  one.tell(news);
  await eventually("a choice is told", () => learned.has(news.client));
  assert.deepEqual(learned.get(news.client), news);
  two.close();
  await eventually("a proxy that ends says so", () => one.nodes().size === 1);
});

test("messages are read back; anything else is left alone", () => {
  const entries = Array.from({ length: 300 }, (_, index): AffinityEntry => {
    return { key: "d/web:http", client: `c${index}`, target: "t", generation: index };
  });
  const datagrams = [...datagramsOf(entries)].map((text) => Buffer.from(text));
  assert.ok(datagrams.length > 1);
  assert.ok(datagrams.every(({ length }) => length <= proxyLimits.peerDatagramBytesMax));
  const read = datagrams.flatMap((bytes) => {
    const message = readPeerMessage(bytes);
    return message?.kind === "affinity" ? message.entries : [];
  });
  assert.deepEqual(read, entries);
  const junk = [
    "",
    "{",
    "null",
    "[]",
    '{"kind":"beat","node":"n","instance":"i","address":"a","pid":-1,"beatMillis":1}',
    '{"kind":"beat","node":"n","instance":"i","address":"a","pid":1,"beatMillis":0}',
    '{"kind":"bye","node":1,"instance":"i"}',
    '{"kind":"affinity","entries":[{"key":"k"}]}',
    `{"kind":"bye","node":"${"n".repeat(proxyLimits.peerDatagramBytesMax)}","instance":"i"}`,
  ];
  for (const text of junk) {
    assert.equal(readPeerMessage(Buffer.from(text)), undefined, text.slice(0, 80));
  }
});

/** What the service answers; undefined: nothing within a second. */
function ask(ip: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(80, ip);
    let text: string | undefined;
    socket.setTimeout(1_000, () => socket.destroy());
    socket.on("data", (piece) => {
      text = (text ?? "") + piece.toString();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(text));
  });
}

async function proxyProcess(...args: readonly string[]): Promise<ChildProcess> {
  const file = join(import.meta.dirname, "proxy-process.ts");
  const child = spawn(process.execPath, [file, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  closers.push(() => child.kill("SIGKILL"));
  await once(child.stdout, "data");
  return child;
}

test("a frozen proxy drops no connection once its silence is noticed", async () => {
  const port = await freePort();
  const ip = `127.46.${process.pid % 200}.${1 + (process.pid % 250)}`;
  const backend = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.end("hello");
  });
  backend.listen(0, "127.0.0.1");
  await once(backend, "listening");
  closers.push(() => backend.close());
  const target = { ip: "127.0.0.1", port: (backend.address() as { port: number }).port };
  const proxy = new ServiceProxy({
    clock,
    log: silent,
    random: () => 0,
    context: { affinity: new AffinityTable(), nodeOfAddress: () => undefined },
    bindFailed: () => undefined,
  });
  closers.push(() => proxy.close());
  const peers = newPeers("n1", port, {
    changed: () => void proxy.setStandingIn(peers.standingIn),
  });
  await peers.start();
  const rule = ruleOf(ip, 80, [target]);
  await proxy.apply(new Map([[rule.key, rule]]));
  const child = await proxyProcess(String(port), "n2", ip, target.ip, String(target.port));
  await eventually("the other proxy is seen", () => peers.nodes().has("n2"));
  await eventually("all are well", () => !peers.standingIn);
  child.kill("SIGSTOP");
  await eventually("its silence is noticed", () => peers.standingIn);
  for (let count = 0; count < 40; count++) assert.equal(await ask(ip), "hello");
  child.kill("SIGCONT");
  await eventually("all are well again", () => !peers.standingIn);
  assert.ok(peers.nodes().has("n2"));
  for (let count = 0; count < 10; count++) assert.equal(await ask(ip), "hello");
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
  await eventually("a dead proxy is forgotten", () => !peers.nodes().has("n2"));
  assert.equal(peers.standingIn, false, "nothing is left to stand in for");
});

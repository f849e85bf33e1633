import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { after, describe, test } from "node:test";
import { productionClock as systemClock } from "../../ha/runtime/production/clock.ts";
import { AffinityTable } from "../../services/kube-proxy/affinity.ts";
import type { Target } from "../../services/kube-proxy/endpoints.ts";
import { explainBind, ServiceProxy } from "../../services/kube-proxy/proxy.ts";
import type { Rule } from "../../services/kube-proxy/rules.ts";

import { FakeClock, settle, silent } from "../kubelet/support.ts";
import { eventually } from "../patience.ts";
import { ruleOf } from "./rule.ts";

// Addresses of this process alone, so that tests running beside this one do not meet it.
const block = process.pid % 200;
let nextHost = 1;
const freshIp = () => `127.${40 + (process.pid % 7)}.${block}.${nextHost++}`;

const closers: (() => void)[] = [];
after(() => {
  for (const close of closers) close();
});

const rule = ruleOf;
const rules = (...list: Rule[]) => new Map(list.map((one) => [one.key, one]));

function newProxy(more: object = {}): ServiceProxy {
  const proxy = new ServiceProxy({
    clock: systemClock,
    log: silent,
    random: () => 0,
    context: { affinity: new AffinityTable(), nodeOfAddress: () => undefined },
    bindFailed: () => undefined,
    ...more,
  });
  closers.push(() => proxy.close());
  return proxy;
}

/** Answers its name, then echoes until the client ends. */
async function backend(name: string): Promise<Target & { server: Server; sockets: Set<Socket> }> {
  const ip = freshIp();
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.write(`${name}\n`);
    socket.pipe(socket);
  });
  server.listen(0, ip);
  await once(server, "listening");
  closers.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { ip, port: (server.address() as { port: number }).port, server, sockets };
}

/** Unlike `once`, an error on the way is no failure. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

interface Answer {
  text: string;
  error: string | undefined;
}

async function talk(ip: string, port: number, message = ""): Promise<Answer> {
  const socket = connect({ host: ip, port, allowHalfOpen: true });
  const answer: Answer = { text: "", error: undefined };
  socket.on("data", (piece) => {
    answer.text += piece.toString();
  });
  socket.on("error", (error: NodeJS.ErrnoException) => {
    answer.error = error.code;
  });
  socket.end(message);
  await closed(socket);
  return answer;
}

describe("kube-proxy userspace", () => {
  test("relays both ways with half-close, and spreads over endpoints", async () => {
    const [one, two] = [await backend("one"), await backend("two")];
    const ip = freshIp();
    const proxy = newProxy();
    await proxy.apply(rules(rule(ip, 80, [one, two])));
    assert.deepEqual(proxy.listening, [`TCP ${ip}:80`]);
    const big = "x".repeat(1_000_000);
    assert.equal((await talk(ip, 80, big)).text, `one\n${big}`);
    assert.equal((await talk(ip, 80, "hi")).text, "two\nhi");
    await eventually("the connections are forgotten", () => proxy.connections === 0);
  });

  test("an endpoint that refuses is passed over", async () => {
    const dead = await backend("dead");
    dead.server.close();
    await once(dead.server, "close");
    const live = await backend("live");
    const ip = freshIp();
    const proxy = newProxy();
    await proxy.apply(rules(rule(ip, 80, [dead, live])));
    for (let count = 0; count < 4; count++) assert.equal((await talk(ip, 80)).text, "live\n");
  });

  test("when no endpoint accepts, the client is reset", async () => {
    const dead = await backend("dead");
    dead.server.close();
    await once(dead.server, "close");
    const ip = freshIp();
    const proxy = newProxy();
    await proxy.apply(rules(rule(ip, 80, [dead])));
    const answer = await talk(ip, 80);
    assert.equal(answer.text, "");
    await eventually("nothing is counted", () => proxy.connections === 0);
  });

  test("without endpoints the connection is refused at once", async () => {
    const one = await backend("one");
    const ip = freshIp();
    const proxy = newProxy();
    await proxy.apply(rules(rule(ip, 80, [one])));
    assert.equal((await talk(ip, 80)).text, "one\n");
    await proxy.apply(new Map());
    assert.equal((await talk(ip, 80)).error, "ECONNREFUSED");
  });

  test("a client that does not read holds its endpoint up, and gets everything later", async () => {
    const total = 64 * 1024 * 1024;
    const ip = freshIp();
    let sent = 0;
    const piece = Buffer.alloc(65_536, "x");
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      const send = () => {
        while (sent < total) {
          sent += piece.length;
          if (!socket.write(piece)) return void socket.once("drain", send);
        }
        socket.end();
      };
      send();
    });
    server.listen(0, ip);
    await once(server, "listening");
    closers.push(() => server.close());
    const { port } = server.address() as { port: number };
    const front = freshIp();
    await newProxy().apply(rules(rule(front, port, [{ ip, port }])));
    const client = connect({ host: front, port });
    await once(client, "readable");
    client.pause();
    let before = -1;
    await eventually("the endpoint to be held up", () => {
      const still = sent === before;
      before = sent;
      return still;
    });
    assert.ok(sent < total, `${sent} bytes are under way`);
    let got = 0;
    for await (const bytes of client) got += (bytes as Buffer).length;
    assert.equal(got, total);
  });

  test("several proxies bind the same address", async () => {
    const one = await backend("one");
    const ip = freshIp();
    const proxies = [newProxy(), newProxy(), newProxy()];
    for (const proxy of proxies) await proxy.apply(rules(rule(ip, 80, [one])));
    assert.deepEqual(
      proxies.map((proxy) => proxy.listening.length),
      [1, 1, 1],
    );
    for (let count = 0; count < 6; count++) assert.equal((await talk(ip, 80)).text, "one\n");
  });

  test("connections survive a change of endpoints", async () => {
    const [one, two] = [await backend("one"), await backend("two")];
    const ip = freshIp();
    const proxy = newProxy();
    await proxy.apply(rules(rule(ip, 80, [one])));
    const socket = connect(80, ip);
    let text = "";
    socket.on("data", (piece) => {
      text += piece.toString();
    });
    await eventually("it is greeted", () => text === "one\n");
    await proxy.apply(rules(rule(ip, 80, [two])));
    assert.equal((await talk(ip, 80)).text, "two\n");
    socket.write("still here");
    await eventually("the old endpoint still answers", () => text === "one\nstill here");
    socket.end();
    await closed(socket);
  });

  test("the end of an endpoint's process ends its connections", async () => {
    const one = await backend("one");
    const ip = freshIp();
    const proxy = newProxy();
    await proxy.apply(rules(rule(ip, 80, [one])));
    const socket = connect(80, ip);
    socket.on("error", () => undefined);
    socket.resume();
    await eventually("connected", () => one.sockets.size === 1);
    for (const backendSocket of one.sockets) backendSocket.resetAndDestroy();
    await closed(socket);
    await eventually("forgotten", () => proxy.connections === 0);
  });

  test("ClientIP affinity keeps a client at its endpoint", async () => {
    const [one, two] = [await backend("one"), await backend("two")];
    const ip = freshIp();
    const proxy = newProxy();
    await proxy.apply(rules(rule(ip, 80, [one, two], { affinitySeconds: 60 })));
    const answers = new Set<string>();
    for (let count = 0; count < 4; count++) answers.add((await talk(ip, 80)).text);
    assert.equal(answers.size, 1);
  });

  test("an address that cannot be bound is told of once and tried again", async () => {
    const one = await backend("one");
    const ip = freshIp();
    const blocker = createServer();
    blocker.listen(80, ip);
    await once(blocker, "listening");
    const clock = new FakeClock();
    const failures: string[] = [];
    const proxy = newProxy({ clock, bindFailed: (_: Rule, text: string) => failures.push(text) });
    await proxy.apply(rules(rule(ip, 80, [one])));
    assert.match(failures.join(), /EADDRINUSE/);
    await clock.advance(1_000);
    await eventually("tried again", async () => {
      await settle();
      return failures.length === 1 && proxy.listening.length === 0;
    });
    blocker.close();
    await once(blocker, "close");
    await eventually("bound", async () => {
      await clock.advance(30_000);
      return proxy.listening.length === 1;
    });
    assert.equal((await talk(ip, 80)).text, "one\n");
  });

  test("a port that only privileged programs may bind is explained", () => {
    const denied = Object.assign(new Error("listen EACCES: permission denied"), { code: "EACCES" });
    assert.match(explainBind(80, denied), /EACCES.*below 1024.*ip_unprivileged_port_start=80/s);
    assert.equal(explainBind(8080, denied), denied.message);
  });

  test("a proxy that stands in gets every connection, and steps back without ending any", async () => {
    const [one, two] = [await backend("one"), await backend("two")];
    const ip = freshIp();
    const [beside, before] = [newProxy(), newProxy()];
    await beside.apply(rules(rule(ip, 80, [one])));
    await before.apply(rules(rule(ip, 80, [two])));
    await before.setStandingIn(true);
    for (let count = 0; count < 20; count++) assert.equal((await talk(ip, 80)).text, "two\n");
    const socket = connect(80, ip);
    let text = "";
    socket.on("data", (piece) => {
      text += piece.toString();
    });
    await eventually("it is greeted", () => text === "two\n");
    await before.setStandingIn(false);
    const seen = new Set<string>();
    await eventually("both are asked again", async () => {
      seen.add((await talk(ip, 80)).text);
      return seen.size === 2;
    });
    socket.write("still here");
    await eventually("the connection goes on", () => text === "two\nstill here");
    socket.end();
    await closed(socket);
    // An address that is opened meanwhile is stood in for, too.
    await before.setStandingIn(true);
    const other = freshIp();
    await beside.apply(rules(rule(other, 80, [one])));
    await before.apply(rules(rule(ip, 80, [two]), rule(other, 80, [two])));
    for (let count = 0; count < 10; count++) assert.equal((await talk(other, 80)).text, "two\n");
  });

  test("a client whose node has no endpoint is reset under the policy Local", async () => {
    const one = await backend("one");
    const ip = freshIp();
    const context = { affinity: new AffinityTable(), nodeOfAddress: () => "n2" };
    const proxy = newProxy({ context });
    const targets = [{ ...one, node: "n1" }];
    await proxy.apply(rules(rule(ip, 80, targets, { perClientNode: true })));
    assert.equal((await talk(ip, 80)).text, "");
  });

  test("a pod's process counts for its node, although it connects from 127.0.0.1", async () => {
    const [one, two] = [await backend("one"), await backend("two")];
    const ip = freshIp();
    const nodes = new Map([
      ["127.64.1.1", "n1"],
      ["127.64.3.1", "n3"],
    ]);
    const context = {
      affinity: new AffinityTable(),
      nodeOfAddress: (address: string) => nodes.get(address),
    };
    const proxy = newProxy({ context });
    const targets = [
      { ...one, node: "n1" },
      { ...two, node: "n2" },
    ];
    await proxy.apply(rules(rule(ip, 80, targets, { perClientNode: true })));
    const answersOf = async (podIp: string | undefined) => {
      const script = `
        const { connect } = require("node:net");
        const ask = () => new Promise((resolve) => {
          const socket = connect(80, "${ip}");
          let text = "";
          socket.on("data", (piece) => { text += piece; socket.end(); });
          socket.on("error", () => {});
          socket.on("close", () => resolve(text.trim() || "-"));
        });
        (async () => {
          for (let count = 0; count < 4; count++) console.log(await ask());
        })();`;
      const env = podIp === undefined ? {} : { POD_IP: podIp };
      const child = spawn(process.execPath, ["-e", script], {
        env,
        stdio: ["ignore", "pipe", "inherit"],
      });
      return new Set((await text(child.stdout)).trim().split("\n"));
    };
    assert.deepEqual([...(await answersOf("127.64.1.1"))], ["one"]);
    assert.deepEqual([...(await answersOf("127.64.3.1"))], ["-"], "its node has no endpoint");
    assert.deepEqual([...(await answersOf(undefined))].sort(), ["one", "two"]);
  });

  test("UDP finds its way there and back", async () => {
    const echo = createSocket("udp4");
    const target = freshIp();
    echo.on("message", (bytes, from) => echo.send(`echo ${bytes}`, from.port, from.address));
    echo.bind(0, target);
    await once(echo, "listening");
    const ip = freshIp();
    const proxy = newProxy();
    const targets = [{ ip: target, port: echo.address().port }];
    await proxy.apply(rules(rule(ip, 53, targets, { protocol: "UDP", key: `UDP ${ip}:53` })));
    const client = createSocket("udp4");
    client.send("hi", 53, ip);
    const [bytes, from] = await once(client, "message");
    assert.equal(String(bytes), "echo hi");
    assert.equal((from as { address: string }).address, ip);
    await proxy.setStandingIn(true);
    client.send("ho", 53, ip);
    const [more] = await once(client, "message");
    assert.equal(String(more), "echo ho");
    client.close();
    echo.close();
  });
});

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { after, describe, test } from "node:test";
import type { ContainerPort } from "../../proto/gen/core.ts";
import { listeners } from "../../services/kubelet/host-ports/listeners.ts";
import { answersHere } from "../../services/kubelet/node/pod-ranges.ts";
import { eventually } from "../patience.ts";
import { freePort } from "../ports.ts";
import { harness, main, podOf } from "./worker-harness.ts";

const podIP = "127.64.0.1";
const noIPv6 = !(await answersHere("::1")) && "skipped: this machine has no IPv6";
const servers: Server[] = [];
after(() => {
  for (const server of servers) server.close();
});

/** Answers each connection with its name. */
async function serve(host: string, port: number, name: string): Promise<number> {
  const server = createServer((socket) => {
    // A relay that ends resets what is still under way.
    socket.on("error", () => socket.destroy());
    socket.end(name);
  });
  servers.push(server);
  server.listen(port, host);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function ask(port: number, host = "127.0.0.1"): Promise<string> {
  const socket = connect(port, host);
  const pieces: Buffer[] = [];
  try {
    for await (const piece of socket) pieces.push(piece as Buffer);
  } catch {
    return ""; // not served
  }
  return Buffer.concat(pieces).toString();
}

const podWith = (ports: ContainerPort[], own: string) =>
  podOf({ containers: [{ ...main, ports }] }, { uid: `ports-${own}` });

/** Lets the clock of the kubelet go on until it holds. */
async function passUntil(h: ReturnType<typeof harness>, holds: () => Promise<boolean>) {
  let done = false;
  await eventually("it holds", () => {
    void h.clock.advance(500).then(async () => {
      done ||= await holds();
    });
    return done;
  });
}

describe("host ports", () => {
  test("lead to a program on the pod's own address, from the moment it listens", async () => {
    const hostPort = await freePort();
    const containerPort = await freePort();
    const h = harness(podWith([{ hostPort, containerPort }], "a"));
    await h.begin();
    await h.clock.advance(1_000);
    assert.equal(await ask(hostPort), "", "no program listens");
    await serve(podIP, containerPort, "pod");
    await passUntil(h, async () => (await ask(hostPort)) === "pod");
    h.worker.close();
    await eventually("it is over", () => true);
    assert.equal(await ask(hostPort), "");
  });

  test("lead to the pod's address of each family that the node has", { skip: noIPv6 }, async () => {
    const hostPort = await freePort();
    const containerPort = await freePort();
    const pod = podWith([{ hostPort, containerPort }], "six");
    const both = { address: podIP, secondAddress: "::1" };
    const h = harness(pod, both, { hostIP: "127.0.0.1", secondHostIP: "::1" });
    await h.begin();
    await serve("::1", containerPort, "six");
    await passUntil(h, async () => (await ask(hostPort, "::1")) === "six");
    assert.equal(await ask(hostPort), "", "no program listens on the other one");
    await serve(podIP, containerPort, "four");
    await passUntil(h, async () => (await ask(hostPort)) === "four");
    h.worker.close();
  });

  test("are left to a program that listens on all addresses", async () => {
    const port = await serve("0.0.0.0", 0, "itself");
    const h = harness(podWith([{ hostPort: port, containerPort: port }], "b"));
    await h.begin();
    await h.clock.advance(10_000);
    assert.equal(await ask(port), "itself");
    assert.deepEqual(
      h.events.filter((text) => text.includes("HostPort")),
      [],
    );
  });

  test("that another program has are told of once", async () => {
    const hostPort = await serve("127.0.0.1", 0, "other");
    const containerPort = await serve(podIP, 0, "pod");
    const h = harness(podWith([{ hostPort, containerPort }], "c"));
    await h.begin();
    const told = () => h.messages.filter((text) => text.startsWith("HostPortConflict"));
    await passUntil(h, async () => told().length > 0);
    await h.clock.advance(60_000);
    assert.equal(told().length, 1);
    assert.match(told()[0] ?? "", new RegExp(`host port ${hostPort}/TCP: .*EADDRINUSE`));
  });

  test("relay datagrams and their answers", async () => {
    const hostPort = await freePort();
    const echo = createSocket("udp4");
    echo.on("message", (data, from) => echo.send(`echo ${data}`, from.port, from.address));
    echo.bind(0, podIP);
    await once(echo, "listening");
    const containerPort = echo.address().port;
    const h = harness(podWith([{ hostPort, containerPort, protocol: "UDP" }], "d"));
    await h.begin();
    await passUntil(h, async () => (await listeners("UDP")).has(`127.0.0.1:${hostPort}`));
    const client = createSocket("udp4");
    client.send("hello", hostPort, "127.0.0.1");
    const [answer] = (await once(client, "message")) as [Buffer];
    assert.equal(answer.toString(), "echo hello");
    client.close();
    echo.close();
  });

  test("of SCTP are told to be unmapped", async () => {
    const h = harness(podWith([{ hostPort: 9, containerPort: 9, protocol: "SCTP" }], "e"));
    await h.begin();
    assert.ok(h.messages.some((text) => text.includes("host port 9/SCTP is not mapped")));
  });
});

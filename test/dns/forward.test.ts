import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { Forwarder } from "../../services/dns/forwarder.ts";
import { dnsLimits } from "../../services/dns/limits.ts";
import { Responder } from "../../services/dns/responder.ts";
import { ResponseCode } from "../../services/dns/wire.ts";
import { FakeClock, silent } from "../kubelet/support.ts";
import { header, query, serve, service, world } from "./world.ts";

const directory = mkdtempSync(join(tmpdir(), "trireme-dns-"));
const closers: (() => void)[] = [() => rmSync(directory, { recursive: true })];
after(() => {
  for (const close of closers) close();
});

/** A server of the world outside: answers from a zone of its own, and what a test makes of it. */
async function upstream(reply: (query: Buffer, answer: Buffer) => readonly Buffer[]) {
  const outer = world();
  const ip = `127.${60 + (process.pid % 3)}.${process.pid % 200}.${closers.length}`;
  outer.zone.set("com", "example", {
    names: new Map([["", { addresses: ["192.0.2.7"], locations: [] }]]),
    alias: undefined,
    reverse: new Map(),
  });
  const socket: Socket = createSocket("udp4");
  const asked: Buffer[] = [];
  // It knows `example.com` under a name of its own zone, of the same length in labels or not.
  const answerOf = (bytes: Buffer): Buffer => {
    const inner = query("example.com.svc.cluster.local", 1, { id: bytes.readUInt16BE(0) });
    const answer = outer.responder.respond(inner, "stream") as Buffer;
    const record = answer.subarray(inner.length);
    const question = bytes.subarray(12, bytes.indexOf(0, 12) + 5);
    return Buffer.concat([answer.subarray(0, 12), question, record]);
  };
  socket.on("message", (bytes, from) => {
    asked.push(bytes);
    for (const one of reply(bytes, answerOf(bytes))) socket.send(one, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, ip, resolve));
  const { port } = socket.address();
  const stream = createServer((connection) => {
    connection.on("error", () => undefined);
    connection.on("data", (piece) => {
      const answer = answerOf(piece.subarray(2));
      const head = Buffer.alloc(2);
      head.writeUInt16BE(answer.length);
      connection.write(Buffer.concat([head, answer]));
    });
  });
  await new Promise<void>((resolve) => stream.listen(port, ip, resolve));
  closers.push(
    () => socket.close(),
    () => stream.close(),
  );
  return { ip, port, asked };
}

function forwarderTo(servers: readonly string[], port: number, own: readonly string[] = []) {
  const file = join(directory, `resolv-${closers.length}.conf`);
  writeFileSync(file, `search x\n${servers.map((ip) => `nameserver ${ip}\n`).join("")}`);
  let id = 100;
  const forwarder = new Forwarder({
    ...{ file, own, port, clock: new FakeClock(), log: silent },
    randomId: () => id++,
  });
  closers.push(() => forwarder.close());
  return forwarder;
}

describe("names of other zones", () => {
  test("are asked for elsewhere, with an id of the server's own", async () => {
    const { ip, port, asked } = await upstream((_, answer) => [answer]);
    const forwarder = forwarderTo([ip], port);
    const made = world((bytes, transport) => forwarder.ask(bytes, transport));
    const served = await serve(made);
    closers.push(() => served.close());
    assert.deepEqual(await served.resolver.resolve4("example.com"), ["192.0.2.7"]);
    assert.equal(asked[0]?.readUInt16BE(0), 100);
    // The name behind a service's, with the whole chain.
    made.put(service("shop", { type: "ExternalName", externalName: "example.com" }));
    const name = "shop.default.svc.cluster.local";
    assert.deepEqual(await served.resolver.resolve4(name), ["192.0.2.7"]);
    assert.deepEqual(await served.resolver.resolveCname(name), ["example.com"]);
    const stream = await forwarder.ask(query("example.com", 1, { id: 9 }), "stream");
    assert.equal(stream?.readUInt16BE(0), 9);
  });

  test("answers to other questions are not taken", async () => {
    const other = query("example.org", 1, { flags: 0x8180 });
    const { ip, port } = await upstream((bytes, answer) => {
      const wrongId = Buffer.from(answer);
      wrongId.writeUInt16BE(bytes.readUInt16BE(0) ^ 1, 0);
      other.writeUInt16BE(bytes.readUInt16BE(0), 0);
      return [wrongId, other, Buffer.of(1, 2), Buffer.from(bytes), answer];
    });
    const answer = await forwarderTo([ip], port).ask(query("example.com", 1), "datagram");
    assert.equal(answer?.subarray(-4).join("."), "192.0.2.7");
  });

  test("the next server is asked when one refuses the connection", async () => {
    const { ip, port } = await upstream((_, answer) => [answer]);
    const answer = await forwarderTo(["127.99.0.1", ip], port).ask(
      query("example.com", 1),
      "stream",
    );
    assert.equal(header(answer ?? Buffer.alloc(12)).counts[1], 1);
  });

  test("without an answer the client is told at once when too many wait", async () => {
    const { ip, port } = await upstream(() => []);
    const forwarder = forwarderTo([ip], port);
    const waiting = Array.from({ length: dnsLimits.forwardsMax }, () =>
      forwarder.ask(query("example.com", 1), "stream"),
    );
    const responder = new Responder({
      ...{ zone: world().zone, address: "127.0.0.1" },
      forward: (bytes, transport) => forwarder.ask(bytes, transport),
    });
    const refused = await responder.respond(query("example.com", 1), "datagram");
    assert.equal(header(refused ?? Buffer.alloc(12)).code, ResponseCode.serverFailure);
    forwarder.close();
    await Promise.all(waiting);
  });

  test("a server does not ask itself", () => {
    assert.deepEqual(
      forwarderTo(["127.0.0.9", "10.0.0.1", "no-address"], 53, ["127.0.0.9"]).servers,
      ["10.0.0.1"],
    );
  });
});

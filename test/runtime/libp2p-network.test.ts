import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { privateKeyFromRaw } from "@libp2p/crypto/keys";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import { dialAddress, Libp2pNetwork } from "../../ha/runtime/production/libp2p-network.ts";
import {
  createLog,
  loadOrCreateIdentity,
  memberIdOf,
  type PeerLinkLimits,
  productionClock,
  productionRandom,
} from "../../ha/runtime/production/mod.ts";
import type { MemberId, Peer } from "../../ha/runtime/types.ts";
import { Recorder } from "../contract/peer-network.ts";
import { eventually } from "../patience.ts";

const log = createLog({}, { level: "silent" });

async function inDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "trireme-net-"));
  try {
    await body(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function startNetwork(
  directory: string,
  number: number,
  limits: Partial<PeerLinkLimits> = {},
): Promise<{ network: Libp2pNetwork; recorder: Recorder; peer: Peer }> {
  const identity = await loadOrCreateIdentity(join(directory, `${number}.key`));
  const listen = { host: "127.0.0.1", port: 0 };
  const clock = productionClock;
  const random = productionRandom;
  const network = new Libp2pNetwork({ identity, listen, clock, random, log, limits });
  const recorder = new Recorder();
  await network.start(recorder);
  const peer = {
    id: number as MemberId,
    name: `m${number}`,
    addresses: [network.address ?? ""],
    identity: identity.identity,
  };
  return { network, recorder, peer };
}

test("a frame of 8 MiB arrives, a larger one is refused and the link stays up", () =>
  inDirectory(async (directory) => {
    const a = await startNetwork(directory, 1);
    const b = await startNetwork(directory, 2);
    try {
      a.network.setPeers([b.peer]);
      b.network.setPeers([a.peer]);
      await eventually("the condition holds", () => a.recorder.up.has(b.peer.id));
      const big = Uint8Array.from({ length: 8 * 1024 * 1024 }, (_, index) => index % 251);
      assert.equal(a.network.send(b.peer.id, new Uint8Array(8 * 1024 * 1024 + 1)), false);
      assert.ok(a.network.send(b.peer.id, big));
      assert.ok(a.network.send(b.peer.id, Uint8Array.of(1)));
      await eventually("the big frame", () => b.recorder.messages.length === 2);
      assert.equal(Buffer.compare(b.recorder.messages[0]!.bytes, big), 0);
      assert.deepEqual([...b.recorder.messages[1]!.bytes], [1]);
      assert.deepEqual(a.recorder.links, [`${b.peer.id} up`]);
    } finally {
      await Promise.all([a.network.close(), b.network.close()]);
    }
  }));

test("32 MiB in many messages pass a full window in both directions at once", () =>
  inDirectory(async (directory) => {
    const a = await startNetwork(directory, 1);
    const b = await startNetwork(directory, 2);
    try {
      a.network.setPeers([b.peer]);
      b.network.setPeers([a.peer]);
      await eventually(
        "the condition holds",
        () => a.recorder.up.has(b.peer.id) && b.recorder.up.has(a.peer.id),
      );
      for (let index = 0; index < 512; index++) {
        assert.ok(a.network.send(b.peer.id, new Uint8Array(64 * 1024).fill(index)));
        assert.ok(b.network.send(a.peer.id, new Uint8Array(64 * 1024).fill(index)));
      }
      const all = [a.recorder, b.recorder];
      await eventually("all messages", () => all.every(({ messages }) => messages.length === 512));
      for (const { messages } of all) {
        assert.ok(messages.every(({ bytes }, index) => bytes.at(-1) === index % 256));
      }
    } finally {
      await Promise.all([a.network.close(), b.network.close()]);
    }
  }));

test("a link that is full at every moment, and read, stays up", () =>
  inDirectory(async (directory) => {
    const limits = { pingInterval: 50, deadAfter: 500, queueBytesMax: 8 * 1024 * 1024 };
    const a = await startNetwork(directory, 1, limits);
    const b = await startNetwork(directory, 2, limits);
    try {
      a.network.setPeers([b.peer]);
      b.network.setPeers([a.peer]);
      await eventually("the link", () => a.recorder.up.has(b.peer.id));
      const block = new Uint8Array(512 * 1024);
      const until = performance.now() + 3 * limits.deadAfter;
      while (performance.now() < until) {
        while (a.network.send(b.peer.id, block));
        await new Promise((resolve) => setImmediate(resolve));
        b.recorder.messages.length = 0;
      }
      assert.deepEqual(a.recorder.links, [`${b.peer.id} up`]);
    } finally {
      await Promise.all([a.network.close(), b.network.close()]);
    }
  }));

test("a killed peer is noticed at once, long before the keep-alive, and dialled again", () =>
  inDirectory(async (directory) => {
    // With a keep-alive of a minute only the closed connection can tell.
    const a = await startNetwork(directory, 1, { pingInterval: 60_000, deadAfter: 60_000 });
    const file = join(directory, "2.key");
    const { identity } = await loadOrCreateIdentity(file);
    const module = import.meta.resolve("../../ha/runtime/production/mod.ts");
    const script = join(directory, "peer.mjs");
    const options = {
      dataDirectory: join(directory, "data"),
      listen: { host: "127.0.0.1", port: 0 },
      identityFile: file,
      log: { level: "silent" },
    };
    await writeFile(
      script,
      `import { openProductionRuntime } from ${JSON.stringify(module)};
       const [port] = process.argv.slice(2);
       const options = ${JSON.stringify(options)};
       options.listen.port = Number(port);
       const runtime = await openProductionRuntime(options);
       await runtime.network.start({ message() {}, link() {} });
       runtime.network.setPeers([${JSON.stringify(a.peer)}]);
       process.stdout.write(runtime.peerAddress());`,
    );
    const startChild = async (port: number) => {
      const child = spawn(process.execPath, [script, String(port)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const address = await new Promise<string>((resolve) => {
        child.stdout.once("data", (data) => resolve(String(data)));
      });
      return { child, address };
    };
    let running = await startChild(0);
    try {
      const peer = { id: 2 as MemberId, name: "m2", addresses: [running.address], identity };
      a.network.setPeers([peer]);
      for (let round = 1; round <= 2; round++) {
        await eventually("link", () => a.recorder.up.has(peer.id));
        running.child.kill("SIGKILL");
        await eventually("loss of the link", () => !a.recorder.up.has(peer.id));
        assert.equal(a.recorder.links.length, 2 * round);
        running = await startChild(Number(running.address.split(":")[1]));
      }
    } finally {
      running.child.kill("SIGKILL");
      await a.network.close();
    }
  }));

test("a link on which nothing comes back is given up", () =>
  inDirectory(async (directory) => {
    const limits = { pingInterval: 20, deadAfter: 150, dialTimeout: 500 };
    const a = await startNetwork(directory, 1, limits);
    const b = await startNetwork(directory, 2);
    // A wire that can be frozen, so that neither end ever sees a FIN.
    let frozen = false;
    const sockets: Socket[] = [];
    const wire = createServer((near) => {
      const far = connect(Number(b.peer.addresses[0]?.split(":")[1]), "127.0.0.1");
      sockets.push(near, far);
      near.on("data", (data) => frozen || far.write(data));
      far.on("data", (data) => frozen || near.write(data));
      near.on("error", () => far.destroy());
      far.on("error", () => near.destroy());
    });
    await new Promise<void>((resolve) => wire.listen(0, "127.0.0.1", resolve));
    const { port } = wire.address() as { port: number };
    try {
      // b knows no address of a, so that the wire is the only way.
      b.network.setPeers([{ ...a.peer, addresses: [] }]);
      a.network.setPeers([{ ...b.peer, addresses: [`127.0.0.1:${port}`] }]);
      await eventually("link", () => a.recorder.up.has(b.peer.id));
      frozen = true;
      await eventually("end of the silent link", () => !a.recorder.up.has(b.peer.id));
      frozen = false;
      await eventually("link after the silence", () => a.recorder.up.has(b.peer.id));
    } finally {
      await Promise.all([a.network.close(), b.network.close()]);
      for (const socket of sockets) socket.destroy();
      wire.close();
    }
  }));

test("bytes from a stranger's socket reach nobody", () =>
  inDirectory(async (directory) => {
    const a = await startNetwork(directory, 1);
    try {
      const [host = "", port = ""] = a.peer.addresses[0]?.split(":") ?? [];
      const socket = connect(Number(port), host);
      socket.on("error", () => {
        // A reset is as good an answer as an end.
      });
      socket.end(Buffer.alloc(100_000, "GET / HTTP/1.1\r\n\r\n"));
      socket.resume();
      await eventually("end of the stranger's connection", () => socket.closed);
      assert.deepEqual([a.recorder.links, a.recorder.messages], [[], []]);
    } finally {
      await a.network.close();
    }
  }));

test("an address that is taken rejects the start and names it", () =>
  inDirectory(async (directory) => {
    const a = await startNetwork(directory, 1);
    const [host = "", port = ""] = a.peer.addresses[0]?.split(":") ?? [];
    const identity = await loadOrCreateIdentity(join(directory, "2.key"));
    const clock = productionClock;
    const listen = { host, port: Number(port) };
    const second = new Libp2pNetwork({ identity, listen, clock, random: productionRandom, log });
    await assert.rejects(second.start(new Recorder()), new RegExp(`${host}:${port} could not be`));
    await Promise.all([a.network.close(), second.close()]);
  }));

test("addresses: host names, IPv4, IPv6; bad ones are refused by name", () => {
  assert.equal(dialAddress("master-0:7000", "id"), "/dns/master-0/tcp/7000/p2p/id");
  assert.equal(dialAddress("127.0.0.1:1", "id"), "/ip4/127.0.0.1/tcp/1/p2p/id");
  assert.equal(dialAddress("[::1]:65535", "id"), "/ip6/::1/tcp/65535/p2p/id");
  for (const bad of ["host", "host:0", "host:65536", "::1:80", "a/b:80", ":80"]) {
    assert.throws(() => dialAddress(bad, "id"), /is not host:port/);
  }
});

test("identity: made once with mode 0600, equal to libp2p's peer id", () =>
  inDirectory(async (directory) => {
    const file = join(directory, "new", "identity.pem");
    const both = await Promise.all([loadOrCreateIdentity(file), loadOrCreateIdentity(file)]);
    const [first, second] = both;
    assert.equal(first.identity, second.identity);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const peerId = peerIdFromPrivateKey(privateKeyFromRaw(first.privateKey));
    assert.equal(first.identity, peerId.toString());
    assert.equal(first.memberId, memberIdOf(first.identity));
    assert.ok(Number.isSafeInteger(first.memberId) && first.memberId >= 1);
    assert.notEqual(memberIdOf("a"), memberIdOf("b"));
    await writeFile(join(directory, "loose.pem"), "x", { mode: 0o644 });
    await assert.rejects(loadOrCreateIdentity(join(directory, "loose.pem")), /chmod 600/);
    await writeFile(join(directory, "bad.pem"), "x", { mode: 0o600 });
    await assert.rejects(loadOrCreateIdentity(join(directory, "bad.pem")), /bad\.pem holds no/);
  }));

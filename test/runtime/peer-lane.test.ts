import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { decodeOffer } from "../../ha/runtime/production/lane-offers.ts";
import { Libp2pNetwork } from "../../ha/runtime/production/libp2p-network.ts";
import {
  createLog,
  loadOrCreateIdentity,
  productionClock,
  productionRandom,
} from "../../ha/runtime/production/mod.ts";
import { FrameError, laneOfferBytes } from "../../ha/runtime/production/peer-frames.ts";
import { LaneServer, openLane } from "../../ha/runtime/production/peer-lane.ts";
import { openPlainLane } from "../../ha/runtime/production/plain-lane.ts";
import type { MemberId } from "../../ha/runtime/types.ts";
import { Recorder } from "../contract/peer-network.ts";
import { eventually } from "../patience.ts";

const log = createLog({}, { level: "silent" });
const { signal } = new AbortController();

/** With TLS, and without. */
const ways = [
  { name: "", plain: false, openLane },
  { name: "plain ", plain: true, openLane: openPlainLane },
] as const;

async function withServer(body: (server: LaneServer) => Promise<void>): Promise<void> {
  const server = new LaneServer(log, true);
  await server.start("127.0.0.1");
  try {
    await body(server);
  } finally {
    server.close();
  }
}

for (const { name, plain, openLane: openThis } of ways) {
  test(`a ${name}lane carries bytes both ways, and its offer is good for one`, () =>
    withServer(async (server) => {
      const { promise, resolve } = Promise.withResolvers<Socket>();
      const { offer } = server.grant(resolve, plain);
      const near = await openThis("127.0.0.1", decodeOffer(offer), signal);
      const far = await promise;
      near.write("there");
      assert.equal(String((await once(far, "data"))[0]), "there");
      far.write("back");
      assert.equal(String((await once(near, "data"))[0]), "back");
      await refused(openThis, offer);
      near.destroy();
    }));

  test(`a ${name}lane is refused to a wrong key, an unknown name and an offer withdrawn`, () =>
    withServer(async (server) => {
      let taken = 0;
      const grant = () => server.grant(() => taken++, plain);
      const wrongKey = Buffer.from(grant().offer);
      wrongKey[laneOfferBytes - 1] = (wrongKey[laneOfferBytes - 1] ?? 0) ^ 1;
      await refused(openThis, wrongKey);
      const unknown = Buffer.from(grant().offer);
      unknown[2] = (unknown[2] ?? 0) ^ 1;
      await refused(openThis, unknown);
      const { offer, withdraw } = grant();
      withdraw();
      await refused(openThis, offer);
      assert.equal(taken, 0);
    }));

  test(`whoever asks for a ${name}lane without a word is let go, and others are served meanwhile`, () =>
    withServer(async (server) => {
      const { offer } = server.grant(() => {}, plain);
      const silent = connect(decodeOffer(offer).port, "127.0.0.1");
      silent.on("error", () => {}).resume();
      await once(silent, "connect");
      const lane = await openThis("127.0.0.1", decodeOffer(offer), signal);
      await once(silent, "close");
      lane.destroy();
    }));
}

/** It cannot be opened, or is hung up on at once. */
async function refused(openThis: typeof openPlainLane, offer: Uint8Array): Promise<void> {
  let socket: Socket;
  try {
    socket = await openThis("127.0.0.1", decodeOffer(offer), signal);
  } catch {
    return;
  }
  socket.on("error", () => {}).resume();
  await once(socket, "close");
}

test("a lane without TLS is offered by nobody who was not told to", async () => {
  const server = new LaneServer(log);
  await server.start("127.0.0.1");
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const { offer, plain } = server.grant(resolve, true);
  assert.equal(plain, false);
  const near = await openLane("127.0.0.1", decodeOffer(offer), signal);
  await promise;
  near.destroy();
  server.close();
});

for (const [one, other] of [
  [true, true],
  [true, false],
  [false, true],
] as const) {
  test(`members are linked, one ${told(one)}, the other ${told(other)} to do without TLS`, async () => {
    await twoLinked(
      async (a, b) => {
        assert.ok(a.network.send(b.peer.id, Uint8Array.of(1)));
        assert.ok(b.network.send(a.peer.id, Uint8Array.of(2)));
        await eventually(
          "both",
          () => a.recorder.messages.length + b.recorder.messages.length === 2,
        );
      },
      [one, other],
    );
  });
}

function told(plaintext: boolean): string {
  return plaintext ? "told" : "not told";
}

test("an offer of another length is refused", () => {
  assert.throws(() => decodeOffer(new Uint8Array(laneOfferBytes - 1)), FrameError);
});

async function twoLinked(
  body: (a: End, b: End) => Promise<void>,
  plaintext: readonly [boolean, boolean] = [false, false],
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "trireme-lane-"));
  const ends = [
    await open(directory, 1, plaintext[0]),
    await open(directory, 2, plaintext[1]),
  ] as const;
  const [a, b] = ends;
  try {
    a.network.setPeers([b.peer]);
    b.network.setPeers([a.peer]);
    await eventually("links", () => a.recorder.up.has(b.peer.id) && b.recorder.up.has(a.peer.id));
    await body(a, b);
  } finally {
    await Promise.all(ends.map(({ network }) => network.close()));
    await rm(directory, { recursive: true });
  }
}

type End = Awaited<ReturnType<typeof open>>;

async function open(directory: string, number: number, plaintext: boolean) {
  const identity = await loadOrCreateIdentity(join(directory, `${number}.key`));
  const listen = { host: "127.0.0.1", port: 0 };
  const [clock, random] = [productionClock, productionRandom];
  const network = new Libp2pNetwork({ identity, listen, clock, random, log, plaintext });
  const recorder = new Recorder();
  await network.start(recorder);
  const addresses = [network.address ?? ""];
  const id = number as MemberId;
  return { network, recorder, peer: { id, name: `m${id}`, addresses, ...identity } };
}

test("messages pass without a lane where none can be had", async (t) => {
  const nowhere = Buffer.alloc(laneOfferBytes);
  nowhere.writeUInt16BE(1, 0);
  const grant = t.mock.method(LaneServer.prototype, "grant", () => {
    return { offer: nowhere, plain: false, withdraw: () => {} };
  });
  await twoLinked(async (a, b) => {
    assert.ok(grant.mock.callCount() >= 2);
    assert.ok(a.network.send(b.peer.id, Uint8Array.of(1, 2)));
    await eventually("the message", () => b.recorder.messages.length === 1);
    assert.deepEqual([...(b.recorder.messages[0]?.bytes ?? [])], [1, 2]);
  });
});

test("a link loses its lane, goes down and comes back with another", async (t) => {
  const sockets: Socket[] = [];
  const grant = LaneServer.prototype.grant;
  t.mock.method(
    LaneServer.prototype,
    "grant",
    function (this: LaneServer, taken: (socket: Socket) => void) {
      return grant.call(this, (socket) => {
        sockets.push(socket);
        taken(socket);
      });
    },
  );
  await twoLinked(async (a, b) => {
    await eventually("two lanes", () => sockets.length === 2);
    for (const socket of sockets) socket.destroy();
    await eventually(
      "new links",
      () => a.recorder.links.length >= 3 && b.recorder.links.length >= 3,
    );
    assert.ok(sockets.length > 2);
    assert.ok(a.network.send(b.peer.id, Uint8Array.of(3)));
    await eventually("the message", () => b.recorder.messages.length === 1);
  });
});

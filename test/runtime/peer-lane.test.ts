import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TLSSocket } from "node:tls";
import { Libp2pNetwork } from "../../ha/runtime/production/libp2p-network.ts";
import {
  createLog,
  loadOrCreateIdentity,
  productionClock,
  productionRandom,
} from "../../ha/runtime/production/mod.ts";
import { FrameError, laneOfferBytes } from "../../ha/runtime/production/peer-frames.ts";
import { decodeOffer, LaneServer, openLane } from "../../ha/runtime/production/peer-lane.ts";
import type { MemberId } from "../../ha/runtime/types.ts";
import { Recorder } from "../contract/peer-network.ts";
import { until } from "./until.ts";

const log = createLog({}, { level: "silent" });
const { signal } = new AbortController();

async function withServer(body: (server: LaneServer) => Promise<void>): Promise<void> {
  const server = new LaneServer(log);
  await server.start("127.0.0.1");
  try {
    await body(server);
  } finally {
    server.close();
  }
}

test("a lane carries bytes both ways, and its offer is good for one", () =>
  withServer(async (server) => {
    const { promise, resolve } = Promise.withResolvers<TLSSocket>();
    const { offer } = server.grant(resolve);
    const near = await openLane("127.0.0.1", decodeOffer(offer), signal);
    const far = await promise;
    near.write("there");
    assert.equal(String((await once(far, "data"))[0]), "there");
    far.write("back");
    assert.equal(String((await once(near, "data"))[0]), "back");
    await assert.rejects(openLane("127.0.0.1", decodeOffer(offer), signal), "a second time");
    near.destroy();
  }));

test("a lane is refused to a wrong key, a name that was never given and an offer withdrawn", () =>
  withServer(async (server) => {
    let taken = 0;
    const grant = () => server.grant(() => taken++);
    const wrongKey = Buffer.from(grant().offer);
    wrongKey[laneOfferBytes - 1] = (wrongKey[laneOfferBytes - 1] ?? 0) ^ 1;
    await assert.rejects(openLane("127.0.0.1", decodeOffer(wrongKey), signal));
    const unknown = Buffer.from(grant().offer);
    unknown[2] = (unknown[2] ?? 0) ^ 1;
    await assert.rejects(openLane("127.0.0.1", decodeOffer(unknown), signal));
    const { offer, withdraw } = grant();
    withdraw();
    await assert.rejects(openLane("127.0.0.1", decodeOffer(offer), signal));
    assert.equal(taken, 0);
  }));

test("whoever connects without a word is let go, and others are served meanwhile", () =>
  withServer(async (server) => {
    const { offer } = server.grant(() => {});
    const silent = connect(decodeOffer(offer).port, "127.0.0.1");
    silent.on("error", () => {}).resume();
    await once(silent, "connect");
    const lane = await openLane("127.0.0.1", decodeOffer(offer), signal);
    await once(silent, "close");
    lane.destroy();
  }));

test("an offer of another length is refused", () => {
  assert.throws(() => decodeOffer(new Uint8Array(laneOfferBytes - 1)), FrameError);
});

async function twoLinked(body: (a: End, b: End) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "trireme-lane-"));
  const ends = [await open(directory, 1), await open(directory, 2)] as const;
  const [a, b] = ends;
  try {
    a.network.setPeers([b.peer]);
    b.network.setPeers([a.peer]);
    await until(() => a.recorder.up.has(b.peer.id) && b.recorder.up.has(a.peer.id), "links");
    await body(a, b);
  } finally {
    await Promise.all(ends.map(({ network }) => network.close()));
    await rm(directory, { recursive: true });
  }
}

type End = Awaited<ReturnType<typeof open>>;

async function open(directory: string, number: number) {
  const identity = await loadOrCreateIdentity(join(directory, `${number}.key`));
  const listen = { host: "127.0.0.1", port: 0 };
  const [clock, random] = [productionClock, productionRandom];
  const network = new Libp2pNetwork({ identity, listen, clock, random, log });
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
    return { offer: nowhere, withdraw: () => {} };
  });
  await twoLinked(async (a, b) => {
    assert.ok(grant.mock.callCount() >= 2);
    assert.ok(a.network.send(b.peer.id, Uint8Array.of(1, 2)));
    await until(() => b.recorder.messages.length === 1, "the message");
    assert.deepEqual([...(b.recorder.messages[0]?.bytes ?? [])], [1, 2]);
  });
});

test("a link loses its lane, goes down and comes back with another", async (t) => {
  const sockets: TLSSocket[] = [];
  const grant = LaneServer.prototype.grant;
  t.mock.method(
    LaneServer.prototype,
    "grant",
    function (this: LaneServer, taken: (socket: TLSSocket) => void) {
      return grant.call(this, (socket) => {
        sockets.push(socket);
        taken(socket);
      });
    },
  );
  await twoLinked(async (a, b) => {
    await until(() => sockets.length === 2, "two lanes");
    for (const socket of sockets) socket.destroy();
    await until(() => a.recorder.links.length >= 3 && b.recorder.links.length >= 3, "new links");
    assert.ok(sockets.length > 2);
    assert.ok(a.network.send(b.peer.id, Uint8Array.of(3)));
    await until(() => b.recorder.messages.length === 1, "the message");
  });
});

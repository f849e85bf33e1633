/** Hostile clients: each is held to its limits, and no other client is affected. */
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { afterEach, describe, test } from "node:test";
import { makeLimits } from "../../ha/balancer/limits.ts";
import { PacedResets } from "../../ha/balancer/paced-resets.ts";
import { FrameType as T } from "../../ha/http2/codes.ts";
import { encodeHeaders, type Stream } from "../../ha/http2/mod.ts";
import { call } from "../../ha/rpc/mod.ts";
import { LeasesClient } from "../../proto/gen/coordination.ts";
import { describeFrame, type Frame, frame, hello, uint32 } from "../http2/wire.ts";
import { eventually } from "../patience.ts";
import { type Cluster, useCluster } from "./fakes.ts";

const begin = useCluster();
const head = (method: string) =>
  encodeHeaders([
    ...[":method", "POST", ":scheme", "http", ":path", `/trireme.coordination.v1.Leases/${method}`],
    ...["content-type", "application/grpc", "te", "trailers"],
  ]);
const heads = { get: head("Get"), watch: head("Watch") };
const emptyMessage = Buffer.alloc(5);
const begun = (streamId: number, block = heads.get) => frame(T.headers, 4, streamId, block);
const ended = (streamId: number) => frame(T.data, 1, streamId, emptyMessage);
const reset = (streamId: number) => frame(T.rstStream, 0, streamId, uint32(8));
/** The ids of so many streams of a client. */
const ids = (count: number) => Array.from({ length: count }, (_, n) => 2 * n + 1);

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

class Attacker {
  readonly frames: Frame[] = [];
  closed = false;
  readonly socket: Socket;
  #rest = Buffer.alloc(0);

  constructor({ balancer }: Cluster) {
    this.socket = connect(balancer.port, "127.0.0.1");
    sockets.push(this.socket);
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.closed = true;
    });
    this.socket.on("data", (chunk) => this.#read(chunk));
    this.send(hello);
  }

  send(...frames: Buffer[]): void {
    this.socket.write(Buffer.concat(frames));
  }

  get words(): string[] {
    return this.frames.map(describeFrame);
  }

  #read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 9) {
      const end = 9 + this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < end) return;
      this.frames.push({
        type: this.#rest.readUInt8(3),
        flags: this.#rest.readUInt8(4),
        streamId: this.#rest.readUInt32BE(5),
        payload: this.#rest.subarray(9, end),
      });
      this.#rest = this.#rest.subarray(end);
    }
  }
}

/** Masters whose watches last until they are ended; answers how many were. */
function longWatches({ masters }: Cluster): () => number {
  let over = 0;
  for (const master of masters) {
    master.watch = async function* ({ signal }) {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      over++;
      yield* [];
    };
  }
  return () => over;
}

const attempts = ({ balancer }: Cluster) =>
  balancer.status().masters.reduce((sum, master) => sum + master.attempts, 0);

async function servesOthers(cluster: Cluster): Promise<void> {
  const leases = cluster.client(LeasesClient);
  for (let n = 0; n < 9; n++) await call(leases, "get", {});
  assert.deepEqual(
    cluster.balancer.status().masters.map(({ failures }) => failures),
    [0, 0, 0],
  );
}

describe("hostile clients", () => {
  test("a connection too many is closed at once; a place that is free again is taken", async () => {
    const cluster = await begin({ limits: { connections: 2 } });
    const first = new Attacker(cluster);
    const second = new Attacker(cluster);
    await eventually("both are in", () => cluster.balancer.status().connections === 2);
    const third = new Attacker(cluster);
    await eventually("it is closed", () => third.closed);
    assert.deepEqual([first.closed, second.closed, third.frames], [false, false, []]);
    second.socket.destroy();
    await eventually("one has gone", () => cluster.balancer.status().connections === 1);
    await servesOthers(cluster);
  });

  test("streams over the announced limit are refused, those within go on", async () => {
    const cluster = await begin({ limits: { concurrentStreams: 3 } });
    longWatches(cluster);
    const attacker = new Attacker(cluster);
    for (const id of ids(5)) attacker.send(begun(id, heads.watch), ended(id));
    await eventually("two are refused", () => {
      return attacker.words.filter((word) => /^rstStream \d+ code 7$/.test(word)).length === 2;
    });
    const settings = attacker.frames.find(({ type, flags }) => type === T.settings && flags === 0);
    // SETTINGS_MAX_CONCURRENT_STREAMS: identifier 3, value 3.
    assert.match(settings?.payload.toString("hex") ?? "", /^(.{12})*000300000003/);
    assert.deepEqual([attacker.closed, attempts(cluster)], [false, 3]);
    attacker.send(reset(1), begun(11, heads.watch), ended(11));
    await eventually("there is room again", () => attempts(cluster) === 4);
    await servesOthers(cluster);
  });

  test("calls that wait are bounded, and leave with their client", async () => {
    const cluster = await begin({ limits: { waitingCalls: 5 } });
    for (const master of cluster.masters) master.set({ ready: false });
    await eventually("nobody is ready", () => cluster.healthy() === 0);
    const attacker = new Attacker(cluster);
    for (const id of ids(50)) attacker.send(begun(id), ended(id));
    await eventually("45 are refused", () => cluster.balancer.status().refusals === 45);
    assert.equal(cluster.balancer.status().waiting, 5);
    attacker.socket.destroy();
    await eventually("the room is empty", () => cluster.balancer.status().waiting === 0);
    for (const master of cluster.masters) master.set({ ready: true });
    await servesOthers(cluster);
  });

  test("bodies that do not end are kept within bounds, and not for ever", async () => {
    const limits = { requestBytes: 1_000, requestBytesTotal: 2_000, requestBodyMillis: 300 };
    const cluster = await begin({ limits });
    const attackers = [0, 1, 2].map(() => new Attacker(cluster));
    for (const attacker of attackers) {
      for (const id of ids(10)) {
        attacker.send(begun(id), frame(T.data, 0, id, Buffer.alloc(900)));
      }
    }
    await eventually("all have come", () => cluster.balancer.status().calls === 30);
    assert.ok(cluster.balancer.status().keptBytes <= 2_000);
    await eventually("none is kept", () => cluster.balancer.status().keptBytes === 0);
    assert.ok(cluster.balancer.status().refusals >= 1);
    await servesOthers(cluster);
  });

  test("a client that begins and resets calls without end is cut off", async () => {
    const limits = { concurrentStreams: 10, clientResetBurst: 50, clientResetsPerSecond: 1 };
    const cluster = await begin({ limits });
    longWatches(cluster);
    const attacker = new Attacker(cluster);
    for (const id of ids(200)) attacker.send(begun(id, heads.watch), ended(id), reset(id));
    await eventually("it is cut off", () => attacker.closed);
    assert.equal(attacker.words.at(-1), "goaway code 11");
    assert.ok(attempts(cluster) <= 52, `${attempts(cluster)} attempts`);
    await eventually("all is free", () => cluster.balancer.status().active === 0);
    await servesOthers(cluster);
  });

  test("what clients cancel together reaches a master no faster than it takes", async () => {
    const limits = { resetBurst: 2, resetsPerSecond: 50, spreadMillis: 60_000 };
    const cluster = await begin({ limits });
    const over = longWatches(cluster);
    const attackers = [0, 1, 2, 3].map(() => new Attacker(cluster));
    for (const attacker of attackers) {
      for (const id of ids(12)) attacker.send(begun(id, heads.watch), ended(id));
    }
    await eventually("all are begun", () => {
      return cluster.masters.every(({ seen }) => seen.length === 16);
    });
    const start = performance.now();
    for (const { socket } of attackers) socket.destroy();
    await eventually("the balancer is free of them", () => cluster.balancer.status().active === 0);
    await servesOthers(cluster);
    await eventually("so are the masters", () => over() === 48);
    // Two of each master's sixteen at once, and fourteen at fifty a second.
    assert.ok(performance.now() - start >= 250, `${performance.now() - start} ms`);
  });
});

test("resets are sent at the pace, and those that ended meanwhile are left out", () => {
  let now = 0;
  const sent: number[] = [];
  const limits = makeLimits({ resetBurst: 3, resetsPerSecond: 10 });
  const connection = { reset: (stream: Stream) => stream.closed || sent.push(stream.id) };
  const resets = new PacedResets(connection as never, limits, () => now);
  const streams = ids(9).map((id) => ({ id, closed: false }) as Stream);
  for (const stream of streams) resets.reset(stream, 8);
  assert.deepEqual(sent, [1, 3, 5]);
  resets.turn();
  assert.equal(resets.waiting, 6);
  (streams[3] as Stream).closed = true;
  now = 200;
  resets.turn();
  assert.deepEqual(sent, [1, 3, 5, 9, 11]);
  assert.equal(resets.waiting, 3);
  now = 10_000;
  resets.turn();
  assert.deepEqual([sent.length, resets.waiting], [8, 0]);
  resets.close();
});

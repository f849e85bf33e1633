/** Answers that are made a piece at a time: how much is made ahead, and when their readers are cut off. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Connection, Stream } from "../../ha/http2/mod.ts";
import { rpcLimits } from "../../ha/rpc/limits.ts";
import { openAnswers, PieceAnswer } from "../../ha/rpc/piece-answer.ts";
import { type PieceSource, pieceTurns } from "../../ha/rpc/piecewise.ts";
import { eventually } from "../patience.ts";

const stream = {} as Stream;
const scratch = Buffer.alloc(64 * 1024);

/** Pieces of one byte value each, all of them in the same memory. */
class Source implements PieceSource {
  closed = 0;
  made = 0;
  idled = 0;
  readonly rooms: number[] = [];
  readonly #pieces: number;

  constructor(pieces: number) {
    this.#pieces = pieces;
  }

  next(room: number): Uint8Array | undefined {
    if (this.made === this.#pieces) return undefined;
    this.rooms.push(room);
    this.made += 1;
    return scratch.subarray(0, 1_000).fill(this.made);
  }

  idle(): void {
    this.idled += 1;
  }

  close(): void {
    this.closed += 1;
  }
}

/** A connection whose peer takes so many bytes, and keeps what is more. */
function connectionWith(room: number) {
  const kept: Uint8Array[] = [];
  const peer = { room, kept, connection: undefined as unknown as Connection };
  peer.connection = {
    room: () => peer.room,
    data: (_stream: Stream, bytes: Uint8Array) => {
      const fits = bytes.length <= peer.room;
      peer.room -= Math.min(peer.room, bytes.length);
      if (!fits) kept.push(bytes);
      return fits;
    },
  } as unknown as Connection;
  return peer;
}

function answer(connection: Connection, source: PieceSource) {
  const told: string[] = [];
  const made = new PieceAnswer(connection, stream, source, {
    written: () => told.push("written"),
    failed: ({ message }) => told.push(message),
    stalled: () => told.push("stalled"),
  });
  made.begin(false);
  return { told, made };
}

test("a peer that takes everything gets every piece, and the source is closed once", async () => {
  const source = new Source(500);
  const { told } = answer(connectionWith(Number.POSITIVE_INFINITY).connection, source);
  await eventually("the end", () => told.length > 0);
  assert.deepEqual(told, ["written"]);
  assert.deepEqual([source.made, source.closed], [500, 1]);
});

test("one piece is made ahead of a peer that reads slowly, in memory of its own", async () => {
  const source = new Source(10);
  const peer = connectionWith(2_500);
  const { told, made } = answer(peer.connection, source);
  await eventually("a piece that waits", () => peer.kept.length === 1);
  assert.equal(source.made, 3);
  assert.equal(pieceTurns.waiting, 0);
  scratch.fill(99);
  assert.ok(
    peer.kept[0]?.every((byte) => byte === 3),
    "the piece is not overwritten",
  );
  peer.room = Number.POSITIVE_INFINITY;
  made.resume();
  await eventually("the end", () => told.length > 0);
  assert.deepEqual([told, source.made, source.closed], [["written"], 10, 1]);
});

test("a peer that reads nothing for too long is cut off, as is one that never comes to the end", async () => {
  const idle = new Source(10);
  const silent = connectionWith(0);
  const first = answer(silent.connection, idle);
  await eventually("a piece that waits", () => silent.kept.length === 1);
  const now = performance.now();
  openAnswers.check(now + rpcLimits.pieceIdleMillis - 1_000);
  assert.equal(idle.idled, 0);
  openAnswers.check(now + rpcLimits.pieceStalledMillis - 1_000);
  assert.deepEqual([first.told, idle.idled], [[], 1]);
  openAnswers.check(now + rpcLimits.pieceStalledMillis + 1_000);
  assert.deepEqual([first.told, idle.closed], [["stalled"], 1]);
  first.made.resume();
  assert.equal(pieceTurns.waiting, 0, "no piece is made for it any more");
  const endless = new Source(Number.POSITIVE_INFINITY);
  const slow = answer(connectionWith(Number.POSITIVE_INFINITY).connection, endless);
  openAnswers.check(performance.now() + rpcLimits.pieceAnswerMillis + 1_000);
  assert.deepEqual([slow.told, endless.closed], [["stalled"], 1]);
});

test("a source that fails ends the answer, and a slice that fails ends the work", async () => {
  const source = new Source(3);
  source.next = () => {
    throw new Error("no more memory");
  };
  const { told } = answer(connectionWith(Number.POSITIVE_INFINITY).connection, source);
  await eventually("the end", () => told.length > 0);
  assert.deepEqual([told, source.closed], [["no more memory"], 1]);
  const broken = pieceTurns.inSlices(() => {
    throw new Error("broken");
  });
  await assert.rejects(broken, /broken/);
  let steps = 0;
  await pieceTurns.inSlices(() => ++steps < 1_000);
  assert.equal(steps, 1_000);
  const abort = new AbortController();
  const work = pieceTurns.inSlices(() => {
    abort.abort();
    return true;
  }, abort.signal);
  await assert.rejects(work, /cancelled/);
});

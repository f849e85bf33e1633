/**
 * Hostile clients on sockets of their own: what each makes the server hold stays bounded, is given
 * back when it has gone, and other clients are served meanwhile.
 */
import assert from "node:assert/strict";
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { connect as connectSocket, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { Metadata } from "@grpc/grpc-js";
import { clientPreface, FrameType as T } from "../../ha/http2/codes.ts";
import { attachSocket, Connection, encodeHeaders, type Stream } from "../../ha/http2/mod.ts";
import { frameMessage } from "../../ha/rpc/engine/messages.ts";
import { rpcLimits } from "../../ha/rpc/limits.ts";
import { call, connect } from "../../ha/rpc/mod.ts";
import { Code } from "../../ha/runtime/status-error.ts";
import { frame, settings, uint32 } from "../http2/wire.ts";
import { eventually } from "../patience.ts";
import { EchoClient } from "./echo.ts";
import { dial, start } from "./harness.ts";
import { deferred } from "./helpers.ts";

const megabyte = 1024 * 1024;
/** What garbage collection and code that has just become hot may make of nothing. */
const noise = 24 * megabyte;

const head = (path: string, ...more: string[]) =>
  encodeHeaders([
    ...[":method", "POST", ":scheme", "http", ":path", path, ":authority", "flood"],
    ...["content-type", "application/grpc", "te", "trailers", ...more],
  ]);
const say = head("/test.Echo/Say");
const headers = (streamId: number, block = say) => frame(T.headers, 4, streamId, block);

const program = fileURLToPath(import.meta.resolve("./flooded-server.ts"));
let child: ChildProcess;
let port: number;

async function ask<Answer>(): Promise<Answer> {
  const answer = once(child, "message") as Promise<[Answer]>;
  child.send("memory");
  return (await answer)[0];
}

async function held(): Promise<number> {
  return (await ask<{ bytes: number }>()).bytes;
}

/** Garbage takes a moment to be given back; what is held, is held as long as its client stays. */
async function holdsAtMost(before: number, bytes: number): Promise<void> {
  await eventually(`no more than ${bytes} bytes are held`, async () => {
    return (await held()) - before < bytes;
  });
}

/** A client without manners: sends what it is told, reads only if told so. */
class Attacker {
  readonly socket: Socket;
  closed = false;
  /** What has come last. */
  #tail = Buffer.of();

  private constructor(socket: Socket, reads: boolean) {
    this.socket = socket;
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
    });
    if (reads) {
      socket.on("data", (chunk) => {
        this.#tail = Buffer.concat([this.#tail, chunk]).subarray(-64);
      });
    }
    socket.write(clientPreface);
    socket.write(settings([4, 0x7fff_ffff]));
    socket.write(frame(T.settings, 1, 0));
    socket.write(frame(T.windowUpdate, 0, 0, uint32(0x7fff_0000)));
  }

  static async connect(reads = true): Promise<Attacker> {
    const socket = connectSocket(port, "127.0.0.1");
    await once(socket, "connect");
    return new Attacker(socket, reads);
  }

  /** Sends `make(0)`, `make(1)`, … in writes of some hundred, until told off. */
  async flood(count: number, make: (n: number) => Buffer): Promise<void> {
    for (let n = 0; n < count && !this.closed; ) {
      const batch: Buffer[] = [];
      for (const until = Math.min(count, n + 500); n < until; n++) batch.push(make(n));
      if (this.socket.write(Buffer.concat(batch))) continue;
      await writable(this.socket);
    }
  }

  /** Everything that was sent has been worked off. */
  async settled(): Promise<void> {
    const mark = Buffer.from("settled!");
    this.socket.write(frame(T.ping, 0, 0, mark));
    await eventually("the last is answered", () => this.#tail.includes(mark));
  }

  async gone(): Promise<void> {
    this.socket.destroy();
    if (!this.closed) await once(this.socket, "close");
  }
}

/** Waits for room, or for the peer's end, whose error is expected. */
function writable(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off("drain", done).off("close", done);
      resolve();
    };
    socket.on("drain", done).on("close", done);
  });
}

/** While `attack` goes on another client is served; afterwards nothing is left of it. */
async function endure(attack: () => Promise<void>): Promise<void> {
  const before = await held();
  const client = connect(EchoClient, { addresses: [`127.0.0.1:${port}`] });
  let served = 0;
  let over = false;
  const witness = (async () => {
    while (!over) {
      const settings = { deadlineMillis: 20_000 };
      assert.equal(String(await call(client, "say", Buffer.from("hello"), settings)), "hello");
      served++;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  try {
    await attack();
    const soFar = served;
    await Promise.race([witness, eventually("another is served", () => served > soFar)]);
  } finally {
    over = true;
    await witness;
    client.close();
  }
  await eventually("all is given back", async () => (await held()) < before + noise);
}

describe("a gRPC server under attack", () => {
  before(async () => {
    child = fork(program, { execArgv: ["--expose-gc"] });
    [{ port }] = (await once(child, "message")) as [{ port: number }];
    const client = connect(EchoClient, { addresses: [`127.0.0.1:${port}`] });
    for (let n = 0; n < 500; n++) await call(client, "say", Buffer.from("warm"));
    client.close();
  });

  after(() => {
    child.disconnect();
  });

  const odd = (n: number) => 2 * n + 1;
  const floods: Readonly<Record<string, (n: number) => Buffer>> = {
    "rapid resets": (n) =>
      Buffer.concat([headers(odd(n)), frame(T.rstStream, 0, odd(n), uint32(8))]),
    pings: () => frame(T.ping, 0, 0, Buffer.alloc(8)),
    settings: (n) => settings([4, 70_000 + (n % 2)]),
    "empty DATA": (n) => (n === 0 ? headers(1) : frame(T.data, 0, 1)),
    "a header block without end": (n) =>
      n === 0 ? frame(T.headers, 0, 1, say) : frame(T.continuation, 0, 1, Buffer.alloc(1_000)),
    "requests that are malformed": (n) => headers(odd(n), encodeHeaders([":path", "/"])),
  };
  for (const [name, make] of Object.entries(floods)) {
    test(`${name}: the connection is given up`, async () => {
      await endure(async () => {
        for (let round = 0; round < 3; round++) {
          const attacker = await Attacker.connect();
          await attacker.flood(100_000, make);
          await eventually("it is told off", () => attacker.closed);
        }
      });
    });
  }

  test("who reads no answers is not read from", async () => {
    await endure(async () => {
      const before = await held();
      const attackers = await Promise.all([1, 2, 3].map(() => Attacker.connect(false)));
      const nowhere = head("/test.Echo/Nope");
      const floods = attackers.map((attacker) =>
        attacker.flood(300_000, (n) => frame(T.headers, 5, odd(n), nowhere)),
      );
      await Promise.race([
        Promise.all(floods),
        new Promise((resolve) => setTimeout(resolve, 1_000)),
      ]);
      assert.ok(
        attackers.some((attacker) => attacker.socket.writableNeedDrain),
        "all was read",
      );
      // Of each, at most http2Limits.outputStopBytes and what one more read has brought.
      await holdsAtMost(before, noise + 3 * 6 * megabyte);
      await Promise.all(attackers.map((attacker) => attacker.gone()));
      await Promise.all(floods);
    });
  });

  test("slow readers of endless streams hold a few messages each", async () => {
    await endure(async () => {
      const before = await held();
      const attackers = await Promise.all([1, 2, 3, 4].map(() => Attacker.connect(false)));
      const repeat = head("/test.Echo/Repeat");
      for (const attacker of attackers) {
        await attacker.flood(50, (n) =>
          Buffer.concat([
            headers(odd(n), repeat),
            frame(T.data, 1, odd(n), frameMessage(Buffer.of())),
          ]),
        );
      }
      let last = 0;
      await eventually("the server stands still", async () => {
        const now = await held();
        const still = Math.abs(now - last) < megabyte / 4;
        last = now;
        await new Promise((resolve) => setTimeout(resolve, 50));
        return still;
      });
      await holdsAtMost(before, noise + 40 * megabyte);
      await Promise.all(attackers.map((attacker) => attacker.gone()));
    });
  });

  test("calls that only begin cost little, and there are only so many", async () => {
    await endure(async () => {
      const before = await held();
      const attacker = await Attacker.connect();
      await attacker.flood(rpcLimits.concurrentStreams + 500, (n) => headers(odd(n)));
      await attacker.settled();
      await holdsAtMost(before, 32 * megabyte);
      assert.equal(attacker.closed, false);
      await attacker.gone();
    });
  });

  test("a message in frames of a byte is held as the message it is", async () => {
    await endure(async () => {
      const before = await held();
      const attacker = await Attacker.connect();
      const message = frameMessage(Buffer.alloc(200_000));
      for (const streamId of [1, 3, 5, 7]) {
        await attacker.flood(message.length - 1, (n) => {
          const data = frame(T.data, 0, streamId, message.subarray(n, n + 1));
          return n === 0 ? Buffer.concat([headers(streamId), data]) : data;
        });
      }
      await attacker.settled();
      await holdsAtMost(before, 8 * megabyte);
      assert.equal(attacker.closed, false);
      await attacker.gone();
    });
  });

  /** Bodies on as many streams; the codes of the answers that come. */
  class Caller {
    readonly socket = connectSocket(port, "127.0.0.1");
    readonly codes: string[] = [];
    readonly #connection: Connection;

    constructor() {
      this.#connection = new Connection("client", {
        onHeaders: (_, block) => void this.codes.push(block.get("grpc-status") ?? ""),
        onData: (stream, _, start, end) => this.#connection.consume(stream, end - start),
        onTrailers: () => {},
        onReset: () => {},
        onWritable: () => {},
        onGoaway: () => {},
        onClose: () => {},
      });
      attachSocket(this.#connection, this.socket);
    }

    send(block: Uint8Array, body: Buffer, endStream: boolean): Stream | undefined {
      const stream = this.#connection.request(block, false);
      if (stream !== undefined) this.#connection.data(stream, body, endStream);
      return stream;
    }

    /** Everything has gone, or was refused. */
    sent(streams: readonly (Stream | undefined)[]): boolean {
      return streams.every((stream) => stream?.closed || stream?.queuedBytes === 0);
    }
  }

  test("messages that never end: their bytes are counted, and no more are taken", async () => {
    await endure(async () => {
      const before = await held();
      const caller = new Caller();
      const begun = Buffer.alloc(megabyte);
      begun.writeUInt32BE(4 * megabyte, 1);
      const streams = Array.from({ length: 250 }, () => caller.send(say, begun, false));
      await eventually("all are sent", () => caller.sent(streams));
      await eventually("some are refused", () => caller.codes.length > 0);
      assert.ok(caller.codes.length >= 100 && caller.codes.length <= 130, `${caller.codes.length}`);
      assert.deepEqual([...new Set(caller.codes)], ["8"]);
      // What is put together piece by piece has room for up to as much again.
      await holdsAtMost(before, 2 * rpcLimits.connectionRequestBytes + noise);
      caller.socket.destroy();
    });
  });

  test("what was compressed counts as what it holds", async () => {
    await endure(async () => {
      const before = await held();
      const caller = new Caller();
      const bomb = frameMessage(gzipSync(Buffer.alloc(4 * megabyte)));
      bomb[0] = 1;
      const packed = head("/test.Echo/Say", "grpc-encoding", "gzip");
      for (let n = 0; n < 100; n++) caller.send(packed, bomb, true);
      await eventually("the rest is refused", () => caller.codes.length >= 68);
      assert.deepEqual([...new Set(caller.codes)], ["8"]);
      await holdsAtMost(before, rpcLimits.connectionRequestBytes + noise);
      caller.socket.destroy();
    });
  });
});

test("a message that has begun must come in full in time; a call may take its time", async () => {
  const release = deferred();
  const sum = async (requests: AsyncIterable<Buffer>) => {
    let bytes = 0;
    for await (const request of requests) bytes += request.length;
    return Buffer.from(String(bytes));
  };
  const server = await start(
    {
      say: async (request) => {
        await release.promise;
        return request;
      },
      collect: sum,
      chat: async function* (requests) {
        yield await sum(requests);
      },
    },
    { messageMillis: 100 },
  );
  const client = dial(server.address);
  const slow = call(client, "say", Buffer.from("hello"));
  const answer = deferred<Buffer>();
  const stream = client.collect(new Metadata(), {}, (error, reply) =>
    error ? answer.reject(error) : answer.resolve(reply),
  );
  stream.write(Buffer.alloc(70_000));
  const session = connectHttp2(`http://${server.address}`);
  const begun = frameMessage(Buffer.alloc(1_000)).subarray(0, 100);
  for (const name of ["Say", "Repeat", "Collect", "Chat"]) {
    const hanging = session.request({
      ...{ ":method": "POST", ":path": `/test.Echo/${name}`, te: "trailers" },
      "content-type": "application/grpc",
    });
    hanging.write(begun);
    const [headers] = (await once(hanging, "response")) as [IncomingHttpHeaders];
    assert.equal(headers["grpc-status"], String(Code.deadlineExceeded), name);
    assert.match(String(headers["grpc-message"]), /did not come in full within 100 ms/);
  }
  session.destroy();
  release.resolve();
  assert.equal(String(await slow), "hello");
  stream.end(Buffer.alloc(5));
  assert.equal(String(await answer.promise), "70005");
});

test("more connections than a process may have files end nothing but themselves", async () => {
  const few = ["-c", 'ulimit -n 64; exec "$0" "$@"', process.execPath, program];
  const server = spawn("bash", few, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const [{ port: crowded }] = (await once(server, "message")) as [{ port: number }];
  const sockets = Array.from({ length: 150 }, () => connectSocket(crowded, "127.0.0.1"));
  for (const socket of sockets) socket.on("error", () => {});
  const closed = () => sockets.filter((socket) => socket.closed).length;
  await eventually("most are turned away", () => closed() > 75);
  for (const socket of sockets) socket.destroy();
  const client = connect(EchoClient, { addresses: [`127.0.0.1:${crowded}`] });
  const settings = { deadlineMillis: 20_000 };
  await eventually("another is served", async () => {
    const answer = call(client, "say", Buffer.from("hello"), settings);
    return answer.then(String, () => "not yet").then((text) => text === "hello");
  });
  client.close();
  server.disconnect();
  await once(server, "exit");
});

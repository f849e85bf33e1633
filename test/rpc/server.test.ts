import assert from "node:assert/strict";
import { connect as connectHttp2, constants } from "node:http2";
import { describe, test } from "node:test";
import { Metadata } from "@grpc/grpc-js";
import { call, connect, createRpcServer, unary } from "../../ha/rpc/mod.ts";
import { Code, type StatusError } from "../../ha/runtime/status-error.ts";
import { eventually, patienceMillis } from "../patience.ts";
import { EchoClient, EchoService } from "./echo.ts";
import { dial, hello, start } from "./harness.ts";
import { deferred, memoryLog } from "./helpers.ts";

describe("the server's limits and end", () => {
  test("a slow reader slows the producer down", async () => {
    let produced = 0;
    const chunk = Buffer.alloc(64 * 1024);
    const { address } = await start({
      repeat: async function* () {
        while (produced < 2_000) {
          produced++;
          yield chunk;
        }
      },
    });
    const client = dial(address);
    const stream = client.repeat(hello);
    const iterator = stream[Symbol.asyncIterator]();
    await iterator.next();
    let before = -1;
    await eventually("the producer stands still", async () => {
      const still = produced === before;
      before = produced;
      await new Promise((resolve) => setTimeout(resolve, 20));
      return still;
    });
    assert.ok(produced < 500, `${produced} of 2,000 chunks were produced`);
    stream.on("error", () => {});
    stream.cancel();
  });

  test("refuses a message over the limit, either way", async () => {
    const { address } = await start(
      { say: async (request) => Buffer.alloc(request.readUInt32BE(0)) },
      { maxMessageBytes: 1_000 },
    );
    const client = dial(address);
    const size = Buffer.alloc(4);
    size.writeUInt32BE(900);
    assert.equal((await call(client, "say", size)).length, 900);
    size.writeUInt32BE(1_100);
    await assert.rejects(call(client, "say", size), { code: Code.resourceExhausted });
    await assert.rejects(call(client, "say", Buffer.alloc(1_100)), {
      code: Code.resourceExhausted,
    });
  });

  test("takes smaller requests than it gives answers, if told so", async () => {
    const { address } = await start(
      {
        say: async (request) => Buffer.alloc(request.readUInt32BE(0)),
        collect: async (requests) => {
          for await (const request of requests) return request;
          return Buffer.alloc(0);
        },
      },
      { maxMessageBytes: 10_000, maxRequestBytes: 500 },
    );
    const client = dial(address);
    const request = Buffer.alloc(500);
    request.writeUInt32BE(10_000);
    assert.equal((await call(client, "say", request)).length, 10_000);
    const over = { code: Code.resourceExhausted };
    await assert.rejects(call(client, "say", Buffer.alloc(501)), over);
    await assert.rejects(
      new Promise((resolve, reject) => {
        const stream = client.collect(new Metadata(), {}, (error, answer) =>
          error ? reject(error) : resolve(answer),
        );
        stream.end(Buffer.alloc(501));
      }),
      over,
    );
  });

  test("refuses metadata over the limit and stays up", async () => {
    const { address } = await start({});
    const client = dial(address);
    const metadata = new Metadata();
    metadata.set("big", "x".repeat(20_000));
    await assert.rejects(call(client, "say", hello, { metadata }), {
      code: Code.resourceExhausted,
    });
    assert.equal(String(await call(client, "say", hello)), "hello");
  });

  test("wants a handler for every method", () => {
    const server = createRpcServer({ log: memoryLog() });
    assert.throws(() => server.addService(EchoService, { say: unary(async (x: Buffer) => x) }), {
      message: 'no handler "collect" for /test.Echo/Collect',
    });
  });

  test("names an address in use", async () => {
    const { port } = await start({});
    const second = createRpcServer({ log: memoryLog() });
    await assert.rejects(second.listen({ host: "127.0.0.1", port }), {
      name: "StatusError",
      message: `cannot listen on 127.0.0.1:${port}: the address is in use`,
    });
    await second.close();
  });

  test("answers what is not gRPC with 415, and an unknown method with UNIMPLEMENTED", async () => {
    const { port, address } = await start({});
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const stream = session.request({ ":path": "/" });
    const status = await new Promise((resolve) =>
      stream.on("response", (headers) => resolve(headers[":status"])),
    );
    assert.equal(status, 415);
    session.destroy();
    const client = dial(address);
    await assert.rejects(
      new Promise((_, reject) => {
        const identity = (value: Buffer) => value;
        client.makeUnaryRequest("/test.Echo/Nope", identity, identity, hello, (error) =>
          reject(error),
        );
      }),
      { code: Code.unimplemented },
    );
  });

  test("lets a client cancel far more than Node's default would", async () => {
    const { port } = await start({ say: () => new Promise(() => {}) });
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    let farewell = false;
    session.on("error", () => {});
    session.on("goaway", () => {
      farewell = true;
    });
    const request = () => {
      const stream = session.request({
        ":method": "POST",
        ":path": "/test.Echo/Say",
        "content-type": "application/grpc",
      });
      stream.on("error", () => {});
      return stream;
    };
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => session.once("connect", resolve));
    for (let count = 1; count <= 2_000 && !session.destroyed; count++) {
      const stream = request();
      setImmediate(() => stream.close(constants.NGHTTP2_CANCEL));
      if (count % 20 === 0) await turn().then(turn);
    }
    await new Promise((resolve) => {
      session.once("close", resolve);
      if (!session.destroyed) session.ping(resolve);
      else resolve(undefined);
    });
    assert.equal(farewell, false);
    assert.equal(session.closed, false);
    session.destroy();
  });

  test("drains: calls under way end, new ones go elsewhere", async () => {
    const release = deferred();
    let arrived = 0;
    const { server, address } = await start({
      say: async (request) => {
        arrived++;
        await release.promise;
        return request;
      },
    });
    const client = dial(address);
    const pending = call(client, "say", hello);
    await eventually("the call has arrived", () => arrived === 1);
    const drained = server.drain(10_000);
    await assert.rejects(call(dial(address), "say", hello), { code: Code.unavailable });
    release.resolve();
    assert.equal(String(await pending), "hello");
    await drained;
  });

  test("drain ends calls that outlast the grace", async () => {
    const { server, address } = await start({ say: () => new Promise(() => {}) });
    const pending = call(dial(address), "say", hello);
    const refused = assert.rejects(pending, (error: StatusError) =>
      [Code.unavailable, Code.cancelled].includes(error.code as 1 | 14),
    );
    const probe = connect(EchoClient, { addresses: [address] });
    await new Promise<void>((resolve, reject) =>
      probe.waitForReady(Date.now() + patienceMillis, (error) =>
        error ? reject(error) : resolve(),
      ),
    );
    await server.drain(20);
    await refused;
    probe.close();
  });
});

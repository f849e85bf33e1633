import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTcp } from "node:net";
import { describe, test } from "node:test";
import { call, serverStreamIterable } from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { LeasesClient } from "../../proto/gen/coordination.ts";
import { eventually } from "../patience.ts";
import { EchoClient } from "../rpc/echo.ts";
import { deferred } from "../rpc/helpers.ts";
import { header, useCluster } from "./fakes.ts";

const begin = useCluster();
const never = () => new Promise<never>(() => {});
const hello = Buffer.from("hello");

describe("streams", () => {
  test("a watch whose master dies ends between two messages, as if its time were up", async () => {
    const { masters, client } = await begin();
    for (const master of masters) {
      master.watch = async function* () {
        yield { type: "ADDED", object: { metadata: { name: master.name } } };
        await never();
      };
    }
    const stream = serverStreamIterable(client(LeasesClient), "watch", {});
    const step = await stream.next();
    const name = step.done ? undefined : step.value.object?.metadata?.name;
    await masters.find((master) => master.name === name)?.kill();
    assert.deepEqual(await stream.next(), { done: true, value: undefined });
  });

  test("a watch whose master dies before it says a word is begun on another", async () => {
    const { masters, client } = await begin();
    const begun: string[] = [];
    for (const master of masters) {
      master.watch = async function* () {
        begun.push(master.name);
        if (begun.length === 1) await never();
        yield { type: "ADDED", object: { metadata: { name: master.name } } };
        await never();
      };
    }
    const stream = serverStreamIterable(client(LeasesClient), "watch", {});
    const first = stream.next();
    await eventually("it is begun", () => begun.length === 1);
    await masters.find((master) => master.name === begun[0])?.kill();
    const step = await first;
    assert.notEqual(begun[1], begun[0]);
    assert.equal(step.done ? undefined : step.value.object?.metadata?.name, begun[1]);
  });

  test("the headers of a watch are passed on at once; without an event it is begun again", async () => {
    const { masters, client } = await begin();
    const begun: string[] = [];
    const go = deferred();
    for (const master of masters) {
      master.watch = async function* (context) {
        begun.push(master.name);
        context.sendHeaders();
        if (begun.length === 1) await never();
        await go.promise;
        yield { type: "ADDED", object: { metadata: { name: master.name } } };
        await never();
      };
    }
    let headers = 0;
    const messages: (string | undefined)[] = [];
    const watch = client(LeasesClient).watch({});
    watch.on("metadata", () => headers++);
    watch.on("data", ({ object }) => messages.push(object?.metadata?.name));
    watch.on("error", () => {});
    await eventually("the headers have come", () => headers === 1);
    assert.deepEqual(messages, []);
    await masters.find((master) => master.name === begun[0])?.kill();
    await eventually("it is begun again", () => begun.length === 2);
    go.resolve();
    await eventually("an event has come", () => messages.length === 1);
    assert.notEqual(begun[1], begun[0]);
    assert.deepEqual([messages, headers], [[begun[1]], 1]);
    watch.cancel();
  });

  test("an error of the second master follows the headers of the first", async () => {
    const { masters, client } = await begin();
    const begun: string[] = [];
    for (const master of masters) {
      master.watch = async function* (context) {
        begun.push(master.name);
        if (begun.length > 1) throw new StatusError(Code.outOfRange, "too old");
        context.sendHeaders();
        yield await never();
      };
    }
    const watch = client(LeasesClient).watch({});
    watch.resume();
    const failed = new Promise((resolve) => watch.on("error", resolve));
    await new Promise((resolve) => watch.on("metadata", resolve));
    await masters.find((master) => master.name === begun[0])?.kill();
    assert.equal(((await failed) as { code: number }).code, Code.outOfRange);
    assert.equal(begun.length, 2);
  });

  test("a watch that its master refuses safely is begun on another, unseen", async () => {
    const { masters, client } = await begin();
    const begun: string[] = [];
    for (const master of masters) {
      master.watch = async function* (context) {
        begun.push(master.name);
        if (begun.length === 1) {
          context.setTrailer("trireme-retry", "safe");
          throw new StatusError(Code.unavailable, "not now");
        }
        yield { type: "ADDED", object: { metadata: { name: master.name } } };
      };
    }
    const names: (string | undefined)[] = [];
    for await (const { object } of serverStreamIterable(client(LeasesClient), "watch", {})) {
      names.push(object?.metadata?.name);
    }
    assert.deepEqual(names, [begun[1]]);
    assert.notEqual(begun[0], begun[1]);
  });

  test("a stream that nobody resumes ends with UNAVAILABLE when its master dies", async () => {
    const { masters, client } = await begin();
    let name: string | undefined;
    for (const master of masters) {
      master.chat = async function* (requests) {
        name = master.name;
        yield* requests;
      };
    }
    const chat = client(EchoClient).chat();
    chat.write(hello);
    const messages = chat[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    assert.deepEqual((await messages.next()).value, hello);
    const over = assert.rejects(messages.next(), {
      code: Code.unavailable,
      details: `${name} went away`,
    });
    await masters.find((master) => master.name === name)?.kill();
    await over;
  });

  test("both directions flow, with backpressure both ways", async () => {
    const { masters, client } = await begin();
    const chunk = Buffer.alloc(64 * 1024, 1);
    let produced = 0;
    const firstRead = deferred();
    for (const master of masters) {
      master.chat = async function* (requests) {
        for await (const request of requests) {
          if (request.length === 1) break;
        }
        while (produced < 1_000) {
          produced++;
          yield chunk;
          await firstRead.promise;
        }
      };
    }
    const chat = client(EchoClient).chat();
    for (let n = 0; n < 100; n++) chat.write(chunk);
    chat.write(Buffer.alloc(1));
    const messages = chat[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    let received = (await messages.next()).done ? 0 : 1;
    // grpc-js begins to hold its server back with the first read.
    firstRead.resolve();
    let before = -1;
    await eventually("the producer stands still", async () => {
      const still = produced === before;
      before = produced;
      await new Promise((resolve) => setTimeout(resolve, 30));
      return still;
    });
    assert.ok(produced < 400, `${produced} of 1,000 chunks are on the way`);
    for (let step = await messages.next(); !step.done; step = await messages.next()) {
      assert.equal(step.value.length, chunk.length);
      received++;
    }
    assert.equal(received, 1_000);
  });

  test("cancelling reaches the master, from every kind of call", async () => {
    const { masters, client, balancer } = await begin();
    let aborted = 0;
    const hang = (signal: AbortSignal) => {
      signal.addEventListener("abort", () => aborted++);
      return never();
    };
    for (const master of masters) {
      master.handle = (_, __, context) => hang(context.signal);
      master.watch = async function* (context) {
        await hang(context.signal);
        yield* [];
      };
      master.chat = async function* (_, context) {
        await hang(context.signal);
        yield* [];
      };
    }
    const abort = new AbortController();
    const leases = client(LeasesClient);
    const unary = call(leases, "get", {}, { signal: abort.signal });
    const watch = serverStreamIterable(leases, "watch", {}, { signal: abort.signal }).next();
    const chat = client(EchoClient).chat();
    chat.on("error", () => {});
    chat.write(hello);
    const seen = () => masters.reduce((sum, master) => sum + master.seen.length, 0);
    await eventually("all have arrived", () => seen() === 3);
    abort.abort();
    chat.cancel();
    await assert.rejects(unary, { code: Code.cancelled });
    await assert.rejects(watch, { code: Code.cancelled });
    await eventually("the masters know", () => aborted === 3);
    await eventually("all is free", () => balancer.status().active === 0);
    for (const { unary, streams } of balancer.status().masters) {
      assert.deepEqual([unary, streams], [0, 0]);
    }
  });

  test("errors and their details pass", async () => {
    const { masters, client } = await begin();
    const detail = { reason: "Conflict", kind: "leases", name: "a" };
    masters[0].handle = async () => {
      throw new StatusError(Code.aborted, "chängéd", detail);
    };
    await assert.rejects(call(client(LeasesClient), "update", {}), {
      code: Code.aborted,
      message: "chängéd",
      detail,
    });
  });

  test("an early answer ends a call whose client is still sending", async () => {
    const { masters, client, balancer } = await begin();
    for (const master of masters) {
      master.chat = () => {
        throw new StatusError(Code.failedPrecondition, "enough");
      };
    }
    const chat = client(EchoClient).chat();
    const failed = new Promise<{ code?: number }>((resolve) => chat.on("error", resolve));
    chat.write(hello);
    chat.resume();
    assert.equal((await failed).code, Code.failedPrecondition);
    await eventually("all is free", () => balancer.status().active === 0);
  });
});

describe("sizes and time", () => {
  test("messages as large as allowed pass, larger ones are refused", async () => {
    const { masters, client } = await begin();
    const blob = "x".repeat(4_000_000);
    for (const master of masters) {
      master.handle = async (_, request) => {
        const { object } = request as { object?: { metadata?: { name?: string } } };
        return { metadata: { name: object?.metadata?.name ?? blob } };
      };
    }
    const leases = client(LeasesClient);
    const up = await call(leases, "create", { object: { metadata: { name: blob } } });
    assert.equal(up.metadata?.name?.length, blob.length);
    const down = await call(leases, "get", {});
    assert.equal(down.metadata?.name?.length, blob.length);
  });

  test("a request too large to be kept is passed on once", async () => {
    const { masters, client, balancer } = await begin({ limits: { requestBytes: 1_000 } });
    const object = { metadata: { name: "x".repeat(300_000) } };
    await call(client(LeasesClient), "create", { object });
    assert.equal(header(masters[0].seen[0], "trireme-request-id"), undefined);
    assert.equal(balancer.status().keptBytes, 0);
    assert.equal(balancer.status().masters[0]?.streams, 0);
  });

  test("the deadline is enforced, and passed on with what is left of it", async () => {
    const { masters, client } = await begin();
    const remaining: (number | undefined)[] = [];
    masters[0].handle = (_, __, context) => {
      remaining.push(context.remainingMillis());
      return never();
    };
    await assert.rejects(call(client(LeasesClient), "create", {}, { deadlineMillis: 1_000 }), {
      code: Code.deadlineExceeded,
    });
    assert.ok((remaining[0] ?? 2_000) <= 1_001, `${remaining[0]} ms`);
  });

  test("a bad timeout is named", async () => {
    const { balancer } = await begin();
    const session = connectHttp2(`http://127.0.0.1:${balancer.port}`);
    const stream = session.request({
      ":method": "POST",
      ":path": "/trireme.coordination.v1.Leases/Get",
      "content-type": "application/grpc",
      "grpc-timeout": "soon",
    });
    const headers = await new Promise<Record<string, unknown>>((resolve) =>
      stream.on("response", (received) => resolve(received)),
    );
    assert.equal(headers["grpc-status"], "3");
    assert.match(decodeURI(String(headers["grpc-message"])), /grpc-timeout "soon"/);
    session.destroy();
  });

  test("what is not HTTP/2 is cut off, and what is not gRPC is told so", async () => {
    const { balancer } = await begin();
    const socket = connectTcp(balancer.port, "127.0.0.1");
    socket.write("GET / HTTP/1.1\r\n\r\n");
    socket.resume();
    await new Promise((resolve) => socket.on("close", resolve));
    const session = connectHttp2(`http://127.0.0.1:${balancer.port}`);
    const status = await new Promise((resolve) =>
      session
        .request({ ":method": "POST" })
        .on("response", (headers) => resolve(headers[":status"])),
    );
    assert.equal(status, 415);
    session.destroy();
  });

  test("connections are bounded", async () => {
    const { client, balancer } = await begin({ limits: { connections: 1 } });
    await call(client(LeasesClient), "get", {});
    const socket = connectTcp(balancer.port, "127.0.0.1");
    await new Promise((resolve) => socket.on("close", resolve));
    assert.equal(balancer.status().connections, 1);
  });
});

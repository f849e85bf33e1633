import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Metadata } from "@grpc/grpc-js";
import { call, serverStreamIterable } from "../../ha/rpc/mod.ts";
import type { CallContext } from "../../ha/rpc/types.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { eventually } from "../patience.ts";
import { dial, hello, start } from "./harness.ts";
import { deferred } from "./helpers.ts";

describe("the gRPC server", () => {
  test("answers the four kinds of calls", async () => {
    const { address, server } = await start({
      say: async (request, context) => {
        context.setTrailer("seen", context.path);
        return Buffer.concat([request, Buffer.from("!")]);
      },
      repeat: async function* (request) {
        for (let n = 0; n < 3; n++) yield Buffer.concat([request, Buffer.from(String(n))]);
      },
      collect: async (requests) => {
        const all: Buffer[] = [];
        for await (const request of requests) all.push(request);
        return Buffer.concat(all);
      },
      chat: async function* (requests) {
        for await (const request of requests) yield request;
        yield Buffer.from("bye");
      },
    });
    assert.deepEqual(server.services, ["test.Echo"]);
    const client = dial(address);
    assert.equal(String(await call(client, "say", hello)), "hello!");
    const repeated: string[] = [];
    for await (const message of serverStreamIterable(client, "repeat", hello)) {
      repeated.push(String(message));
    }
    assert.deepEqual(repeated, ["hello0", "hello1", "hello2"]);
    const collected = await new Promise<Buffer>((resolve, reject) => {
      const stream = client.collect(new Metadata(), {}, (error, reply) =>
        error ? reject(error) : resolve(reply),
      );
      stream.write(hello);
      stream.end(hello);
    });
    assert.equal(String(collected), "hellohello");
    const chat = client.chat();
    chat.write(Buffer.from("a"));
    chat.end(Buffer.from("b"));
    const said: string[] = [];
    for await (const message of chat) said.push(String(message));
    assert.deepEqual(said, ["a", "b", "bye"]);
  });

  test("a handler may send the headers before a message, once; an error before it comes alone", async () => {
    const goOn = deferred();
    const refusal = new StatusError(Code.unavailable, "not now");
    const { address } = await start({
      repeat: async function* (request, context) {
        if (String(request) === "refuse") throw refusal;
        context.sendHeaders();
        context.sendHeaders();
        await goOn.promise;
        if (String(request) === "break") throw refusal;
        yield request;
        context.sendHeaders();
      },
      chat: async function* (_, context) {
        context.sendHeaders();
        await goOn.promise;
        yield hello;
      },
    });
    const client = dial(address);
    const open = (word: string) => {
      const story: string[] = [];
      const stream = word === "chat" ? client.chat() : client.repeat(Buffer.from(word));
      stream.on("metadata", () => story.push("headers"));
      stream.on("data", (message: Buffer) => story.push(String(message)));
      stream.on("error", () => {});
      stream.on("status", ({ code }) => story.push(String(code)));
      return story;
    };
    const streams = ["refuse", "break", "hello", "chat"].map(open);
    await eventually("each has been answered", () => streams.every(({ length }) => length > 0));
    assert.deepEqual(streams, [["14"], ["headers"], ["headers"], ["headers"]]);
    goOn.resolve();
    await eventually("the rest has ended", () =>
      streams.every(
        ([first, ...rest]) => first === "14" || rest.some((each) => /^[0-9]+$/.test(each)),
      ),
    );
    assert.deepEqual(streams.slice(1), [
      ["headers", "14"],
      ["headers", "hello", "0"],
      ["headers", "hello", "0"],
    ]);
  });

  test("carries a StatusError with its detail, from every kind of call", async () => {
    const detail = {
      reason: "Invalid",
      group: "apps",
      kind: "Deployment",
      name: "näme",
      causes: [{ reason: "FieldValueInvalid", message: "must be ≥ 0", field: "spec.replicas" }],
      retryAfterSeconds: 3,
    };
    const error = new StatusError(Code.invalidArgument, "100% wrong: ü\ud800", detail);
    const { address } = await start({
      say: async () => {
        throw error;
      },
      repeat: async function* (request) {
        yield request;
        throw error;
      },
      collect: async () => {
        throw error;
      },
      chat: async function* (requests) {
        for await (const request of requests) {
          yield request;
          throw error;
        }
      },
    });
    const client = dial(address);
    const expected = { name: "StatusError", code: 3, message: "100% wrong: ü\ufffd", detail };
    await assert.rejects(call(client, "say", hello), expected);
    const received: Buffer[] = [];
    await assert.rejects(async () => {
      for await (const message of serverStreamIterable(client, "repeat", hello)) {
        received.push(message);
      }
    }, expected);
    assert.equal(received.length, 1);
    const collected = deferred<unknown>();
    client.collect(new Metadata(), {}, (failure) => collected.resolve(failure)).write(hello);
    assert.equal(((await collected.promise) as { code: number }).code, 3);
    const chat = client.chat();
    chat.write(hello);
    chat.resume();
    const failure = await new Promise<{ code?: number }>((resolve) => chat.on("error", resolve));
    assert.equal(failure.code, 3);
  });

  test("keeps a long message and many causes within what headers may hold", async () => {
    const causes = Array.from({ length: 2_000 }, (_, n) => ({
      reason: "FieldValueRequired",
      message: "is missing",
      field: `spec.containers[${n}].name`,
    }));
    const { address } = await start({
      say: async () => {
        throw new StatusError(Code.invalidArgument, "x".repeat(100_000), {
          reason: "Invalid",
          causes,
        });
      },
    });
    await assert.rejects(call(dial(address), "say", hello), (thrown: StatusError) => {
      assert.equal(thrown.code, Code.invalidArgument);
      assert.equal(thrown.message.length, 2_048);
      assert.match(thrown.message, /x\.\.\. \[shortened\]$/);
      assert.equal(thrown.detail?.reason, "Invalid");
      const kept = thrown.detail?.causes?.length ?? 0;
      assert.ok(kept > 10 && kept < 2_000, `${kept} causes kept`);
      assert.equal(
        thrown.detail?.causes?.at(-1)?.message,
        `${2_001 - kept} more causes are left out: the answer has no room for them`,
      );
      return true;
    });
  });

  test("logs an unexpected error with its stack and does not tell the caller", async () => {
    const { address, lines } = await start({
      say: async () => {
        throw new TypeError("secret of the house");
      },
    });
    await assert.rejects(call(dial(address), "say", hello), {
      code: Code.internal,
      message: "internal error",
    });
    const line = lines.find(({ level }) => level === "error");
    assert.match(String(line?.fields["error"]), /TypeError: secret of the house\n\s+at /);
    assert.equal(line?.fields["path"], "/test.Echo/Say");
  });

  test("aborts the signal and returns the iterator of a cancelled stream", async () => {
    const aborted = deferred<unknown>();
    const returned = deferred();
    const { address, lines } = await start({
      repeat: (request, context) => {
        context.signal.addEventListener("abort", () => aborted.resolve(context.signal.reason));
        let pending: ((step: IteratorResult<Buffer>) => void) | undefined;
        let first = true;
        return {
          [Symbol.asyncIterator]: () => ({
            next: () => {
              if (first) {
                first = false;
                return Promise.resolve({ done: false, value: request });
              }
              return new Promise<IteratorResult<Buffer>>((resolve) => {
                pending = resolve;
              });
            },
            return: () => {
              returned.resolve();
              pending?.({ done: true, value: undefined });
              return Promise.resolve({ done: true, value: undefined });
            },
          }),
        };
      },
    });
    for await (const _ of serverStreamIterable(dial(address), "repeat", hello)) break;
    await returned.promise;
    assert.equal(((await aborted.promise) as StatusError).code, Code.cancelled);
    assert.deepEqual(
      lines.filter(({ level }) => level === "error"),
      [],
    );
  });

  test("a unary call's signal aborts when the caller cancels or its deadline passes", async () => {
    const reasons: number[] = [];
    const remaining: (number | undefined)[] = [];
    const { address } = await start({
      say: (_, context) => {
        remaining.push(context.remainingMillis());
        return new Promise((_, reject) => {
          context.signal.addEventListener("abort", () => {
            reasons.push((context.signal.reason as StatusError).code);
            reject(context.signal.reason);
          });
        });
      },
    });
    const client = dial(address);
    const abort = new AbortController();
    const cancelled = call(client, "say", hello, { signal: abort.signal });
    await eventually("the call has arrived", () => remaining.length === 1);
    abort.abort();
    await assert.rejects(cancelled, { code: Code.cancelled });
    await eventually("the handler knows", () => reasons.length === 1);
    await assert.rejects(call(client, "say", hello, { deadlineMillis: 1_000 }), {
      code: Code.deadlineExceeded,
    });
    await eventually("the handler knows", () => reasons.length === 2);
    assert.equal(remaining[0], undefined);
    assert.ok((remaining[1] ?? 2_000) <= 1_000);
    assert.equal(reasons[0], Code.cancelled);
  });

  test("a finished call does not look cancelled", async () => {
    const contexts: CallContext[] = [];
    const { address } = await start({
      say: async (request, context) => {
        contexts.push(context);
        assert.equal(context.signal.aborted, false);
        return request;
      },
    });
    const client = dial(address);
    await call(client, "say", hello);
    await call(client, "say", hello);
    assert.equal(contexts[0]?.signal.aborted, false);
  });
});

/**
 * What every gRPC server engine promises on the wire and to handlers of grpc-js's shape. Handlers
 * made by ha/rpc/handlers.ts are tried in test/rpc, on each engine as well.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import * as http2 from "node:http2";
import { after, before, describe, test } from "node:test";
import { deflateSync, gzipSync } from "node:zlib";
import {
  Metadata,
  type MetadataValue,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type StatusObject,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { connect, createRpcServer, type RpcEngine, type RpcServer } from "../../ha/rpc/mod.ts";
import { Code } from "../../ha/runtime/status-error.ts";
import { eventually } from "../patience.ts";
import { EchoClient, EchoService } from "../rpc/echo.ts";
import { deferred, memoryLog } from "../rpc/helpers.ts";

interface Handlers {
  say(call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>): void;
  collect(call: ServerReadableStream<Buffer, Buffer>, reply: sendUnaryData<Buffer>): void;
  repeat(call: ServerWritableStream<Buffer, Buffer>): void;
  chat(call: ServerDuplexStream<Buffer, Buffer>): void;
}

/** What came back on one HTTP/2 stream. */
interface Answer {
  readonly headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader;
  readonly body: Buffer;
  readonly trailers: http2.IncomingHttpHeaders;
}

const grpc = {
  ":method": "POST",
  ":path": "/test.Echo/Say",
  "content-type": "application/grpc",
  te: "trailers",
};

function framed(message: Buffer, flag = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

const text = (answer: Answer) => answer.body.subarray(5).toString();
/** Of an answer with or without a body. */
const statusOf = (answer: Answer) =>
  Number(answer.trailers["grpc-status"] ?? answer.headers["grpc-status"]);

export function rpcServerContract(engine: RpcEngine): void {
  describe(`a gRPC server on ${engine}`, () => {
    /** Each test sets what it needs. */
    let handlers: Partial<Handlers> = {};
    let server: RpcServer;
    let address: string;
    let session: http2.ClientHttp2Session;
    let client: EchoClient;

    before(async () => {
      server = createRpcServer({ log: memoryLog(), engine, maxMessageBytes: 100_000 });
      server.addService(EchoService, {
        say: ((call, reply) => handlers.say?.(call, reply)) as Handlers["say"],
        collect: ((call, reply) => handlers.collect?.(call, reply)) as Handlers["collect"],
        repeat: ((call) => handlers.repeat?.(call)) as Handlers["repeat"],
        chat: ((call) => handlers.chat?.(call)) as Handlers["chat"],
      });
      const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
      address = `127.0.0.1:${port}`;
      session = http2.connect(`http://${address}`);
      client = connect(EchoClient, { addresses: [address] });
    });

    after(async () => {
      client.close();
      session.destroy();
      await server.close();
    });

    const echo: Handlers["say"] = (call, reply) => reply(null, call.request);

    async function ask(fields: http2.OutgoingHttpHeaders, ...pieces: Buffer[]): Promise<Answer> {
      const stream = session.request({ ...grpc, ...fields });
      let headers: Answer["headers"] | undefined;
      let trailers: http2.IncomingHttpHeaders = {};
      const body: Buffer[] = [];
      stream.on("response", (received) => {
        headers = received;
      });
      stream.on("trailers", (received) => {
        trailers = received;
      });
      stream.on("data", (chunk: Buffer) => body.push(chunk));
      for (const piece of pieces) stream.write(piece);
      stream.end();
      await once(stream, "close");
      assert.ok(headers, "there was no answer");
      return { headers, body: Buffer.concat(body), trailers };
    }

    test("answers with a header block, a message and trailers", async () => {
      handlers = { say: echo };
      const answer = await ask({}, framed(Buffer.from("hi")));
      assert.equal(answer.headers[":status"], 200);
      assert.match(answer.headers["content-type"] ?? "", /^application\/grpc/);
      assert.deepEqual(answer.body, framed(Buffer.from("hi")));
      assert.equal(answer.trailers["grpc-status"], "0");
    });

    test("takes a message in any number of pieces, and an empty one", async () => {
      handlers = { say: echo };
      const message = Buffer.from("a message of some length");
      const pieces = [...framed(message)].map((byte) => Buffer.of(byte));
      assert.equal(text(await ask({}, ...pieces)), String(message));
      assert.equal(text(await ask({}, framed(Buffer.of()))), "");
      const large = Buffer.alloc(90_000, 0x7a);
      assert.equal(text(await ask({}, framed(large))), String(large));
    });

    test("takes the content types of gRPC, and no other", async () => {
      handlers = { say: echo };
      for (const type of ["application/grpc+proto", "application/grpc;x=y"]) {
        assert.equal(statusOf(await ask({ "content-type": type }, framed(Buffer.of()))), 0, type);
      }
      for (const type of ["text/plain", "application/json"]) {
        assert.equal((await ask({ "content-type": type })).headers[":status"], 415, type);
      }
    });

    test("reads gzip and deflate, and says what it reads", async () => {
      handlers = { say: echo };
      const message = Buffer.from("packed ".repeat(100));
      for (const [name, packed] of [
        ["gzip", gzipSync(message)],
        ["deflate", deflateSync(message)],
      ] as const) {
        const answer = await ask({ "grpc-encoding": name }, framed(packed, 1));
        assert.equal(text(answer), String(message), name);
        // The flag decides, message by message.
        assert.equal(text(await ask({ "grpc-encoding": name }, framed(message))), String(message));
      }
      const unknown = await ask({ "grpc-encoding": "brotli" }, framed(message, 1));
      assert.equal(statusOf(unknown), Code.unimplemented);
      // grpc-js answers such a call without saying what it would have read.
      if (engine === "grpc-js") return;
      const accepted = { ...unknown.headers, ...unknown.trailers }["grpc-accept-encoding"];
      assert.match(String(accepted), /gzip/);
      const bomb = gzipSync(Buffer.alloc(5_000_000));
      const answer = await ask({ "grpc-encoding": "gzip" }, framed(bomb, 1));
      assert.equal(statusOf(answer), Code.resourceExhausted);
    });

    test("refuses what is not one message", async () => {
      handlers = { say: echo };
      const message = framed(Buffer.from("hi"));
      const broken: Record<string, Buffer[]> = {
        "half a message": [message.subarray(0, 6)],
        "a compressed message without an encoding": [framed(Buffer.from("hi"), 1)],
        "two messages": [message, message],
        nothing: [],
      };
      // grpc-js overlooks the flag.
      if (engine === "grpc-js") delete broken["a compressed message without an encoding"];
      for (const [what, pieces] of Object.entries(broken)) {
        const code = statusOf(await ask({}, ...pieces));
        const known: readonly number[] = [Code.internal, Code.unimplemented, Code.unknown];
        assert.ok(known.includes(code), `${what}: ${code}`);
      }
    });

    test("a message over the limit is refused when its length is known", async () => {
      handlers = { say: echo };
      const prefix = framed(Buffer.alloc(100_001)).subarray(0, 5);
      for (const [name, path] of [
        ["unary", "/test.Echo/Say"],
        ["stream", "/test.Echo/Repeat"],
      ]) {
        const stream = session.request({ ...grpc, ":path": path });
        stream.write(prefix);
        const [received] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
        assert.equal(received["grpc-status"], String(Code.resourceExhausted), name);
        stream.close();
      }
    });

    test("a client that has gone has cancelled its calls", async () => {
      let begun = 0;
      let told = 0;
      const hang = (call: { on(event: string, listener: () => void): unknown }) => {
        begun++;
        call.on("cancelled", () => told++);
      };
      handlers = { say: hang, repeat: hang, collect: hang, chat: hang };
      const leaving = http2.connect(`http://${address}`);
      leaving.on("error", () => {});
      for (const name of ["Say", "Repeat", "Collect", "Chat"]) {
        const stream = leaving.request({ ...grpc, ":path": `/test.Echo/${name}` });
        stream.on("error", () => {});
        stream.end(framed(Buffer.of()));
      }
      await eventually("all have begun", () => begun === 4);
      leaving.destroy();
      await eventually("all are told", () => told === 4);
    });

    test("binary metadata comes joined or not, padded or not", async () => {
      let seen: MetadataValue[] = [];
      handlers = {
        say(call, reply) {
          seen = call.metadata.get("data-bin");
          reply(null, call.request);
        },
      };
      await ask({ "data-bin": "AAE=,AgM" }, framed(Buffer.of()));
      assert.deepEqual(seen, [Buffer.of(0, 1), Buffer.of(2, 3)]);
      await ask({ "data-bin": ["BA", "BQ=="] }, framed(Buffer.of()));
      assert.deepEqual(seen, [Buffer.of(4), Buffer.of(5)]);
    });

    test("sends the headers of a stream before its first message", async () => {
      const goOn = deferred();
      handlers = {
        repeat(call) {
          call.sendMetadata(new Metadata());
          void goOn.promise.then(() => {
            call.write(call.request);
            call.end();
          });
        },
      };
      const stream = client.repeat(Buffer.from("later"));
      const messages: string[] = [];
      stream.on("data", (message: Buffer) => messages.push(String(message)));
      const ended = once(stream, "end");
      await once(stream, "metadata");
      assert.deepEqual(messages, []);
      goOn.resolve();
      await ended;
      assert.deepEqual(messages, ["later"]);
    });

    test("carries metadata both ways, binary and repeated", async () => {
      const bytes = Buffer.from([0, 1, 254, 255]);
      let words: MetadataValue[] = [];
      handlers = {
        say(call, reply) {
          const initial = new Metadata();
          words = call.metadata.get("word");
          for (const value of words) initial.add("word", value);
          call.sendMetadata(initial);
          const trailing = new Metadata();
          trailing.set("echo-bin", call.metadata.get("data-bin")[0] as Buffer);
          reply(null, call.request, trailing);
        },
      };
      const metadata = new Metadata();
      metadata.add("word", "one");
      metadata.add("word", "two");
      metadata.set("data-bin", bytes);
      let initial: Metadata | undefined;
      let status: StatusObject | undefined;
      await new Promise<void>((resolve, reject) => {
        const call = client.say(Buffer.of(), metadata, {}, (error) => error && reject(error));
        call.on("metadata", (received) => {
          initial = received;
        });
        call.on("status", (received) => {
          status = received;
          resolve();
        });
      });
      assert.deepEqual(initial?.get("word").join(", ").split(", "), ["one", "two"]);
      assert.deepEqual(status?.metadata.get("echo-bin"), [bytes]);
      assert.deepEqual(words, ["one, two"]);
      assert.deepEqual(initial?.get("te"), []);
    });

    test("a handler sees neither the protocol's fields nor another call's", async () => {
      const seen: Record<string, unknown>[] = [];
      handlers = {
        say(call, reply) {
          seen.push(call.metadata.getMap());
          call.metadata.set("mine", "x");
          reply(null, call.request);
        },
      };
      for (let round = 0; round < 3; round++) {
        await ask({ "grpc-timeout": "10S", own: "y" }, framed(Buffer.of()));
      }
      for (const map of seen) {
        assert.equal(map["own"], "y");
        assert.equal(map["mine"], undefined);
        assert.equal(map["grpc-timeout"], undefined);
        assert.equal(map["content-type"], undefined);
      }
      assert.equal(seen.length, 3);
    });

    test("an error is trailers alone, its text percent-encoded, its metadata sent along", async () => {
      const metadata = new Metadata();
      metadata.set("grpc-status-details-bin", Buffer.from("details"));
      handlers = {
        say: (_, reply) => reply({ code: Code.aborted, details: " 100 % grün\n", metadata }),
      };
      const answer = await ask({}, framed(Buffer.of()));
      assert.equal(answer.headers[":status"], 200);
      assert.equal(answer.headers["grpc-status"], String(Code.aborted));
      const message = String(answer.headers["grpc-message"]);
      assert.match(message, /^[ -~]+$/);
      assert.equal(decodeURIComponent(message).trim(), "100 % grün");
      const details = String(answer.headers["grpc-status-details-bin"]);
      assert.equal(Buffer.from(details, "base64").toString(), "details");
      assert.equal(answer.body.length, 0);
      await assert.rejects(sayTo(client), { code: Code.aborted, details: " 100 % grün\n" });
    });

    test("an error without a code, and one that is thrown, are UNKNOWN", async () => {
      handlers = { say: (_, reply) => reply(new Error("no code") as ServiceError) };
      await assert.rejects(sayTo(client), { code: Code.unknown, details: "no code" });
      handlers = {
        say: () => {
          throw new Error("thrown");
        },
      };
      await assert.rejects(sayTo(client), { code: Code.unknown });
    });

    test("a deadline ends any call, and its handler is told", async () => {
      let told = 0;
      const hang = (call: { on(event: string, listener: () => void): unknown }) => {
        call.on("cancelled", () => told++);
      };
      handlers = { say: hang, repeat: hang, collect: hang, chat: hang };
      for (const [n, name] of ["Say", "Repeat", "Collect", "Chat"].entries()) {
        const fields = { ":path": `/test.Echo/${name}`, "grpc-timeout": "40m" };
        assert.equal(statusOf(await ask(fields, framed(Buffer.of()))), 4, name);
        await eventually(`${name} is told`, () => told === n + 1);
      }
      assert.ok(statusOf(await ask({ "grpc-timeout": "soon" }, framed(Buffer.of()))) > 0);
    });

    test("tells a handler of its deadline, peer, path and host", async () => {
      let seen: unknown[] = [];
      handlers = {
        say(call, reply) {
          const left = Number(call.getDeadline()) - Date.now();
          seen = [left > 8_000 && left <= 10_000, call.getPeer(), call.getPath(), call.getHost()];
          reply(null, call.request);
        },
      };
      await ask({ "grpc-timeout": "10S" }, framed(Buffer.of()));
      const { localAddress, localPort } = session.socket;
      assert.deepEqual(seen, [true, `${localAddress}:${localPort}`, "/test.Echo/Say", address]);
    });

    test("a cancelled call is told, and its late answer goes nowhere", async () => {
      const arrived = deferred<() => void>();
      let told = 0;
      handlers = {
        say: (call, reply) => {
          call.on("cancelled", () => told++);
          arrived.resolve(() => reply(null, call.request));
        },
      };
      const call = client.say(Buffer.of(), new Metadata(), {}, () => {});
      const answer = await arrived.promise;
      call.cancel();
      await eventually("the handler is told", () => told === 1);
      answer();
      answer();
      handlers = { say: echo };
      assert.equal(String(await sayTo(client)), "hello");
      assert.equal(told, 1);
    });

    test("events, iteration, drain: a stream is a Node stream on both sides", async () => {
      handlers = {
        chat(call) {
          call.on("data", (message: Buffer) => call.write(message));
          call.on("end", () => {
            const trailing = new Metadata();
            trailing.set("count", "2");
            call.end(trailing);
          });
        },
        async collect(call, reply) {
          const sizes: number[] = [];
          for await (const message of call) sizes.push((message as Buffer).length);
          reply(null, Buffer.from(sizes.join(" ")));
        },
      };
      const chat = client.chat();
      const status = once(chat, "status") as Promise<[StatusObject]>;
      chat.write(Buffer.from("a"));
      chat.end(Buffer.from("b"));
      const said: string[] = [];
      for await (const message of chat) said.push(String(message));
      assert.deepEqual(said, ["a", "b"]);
      assert.deepEqual((await status)[0].metadata.get("count"), ["2"]);
      const path = { ":path": "/test.Echo/Collect" };
      const pieces = [5, 0, 70_000, 1].map((size) => framed(Buffer.alloc(size)));
      assert.equal(text(await ask(path, ...pieces)), "5 0 70000 1");
    });

    test("a client stream may be answered before it has ended", async () => {
      handlers = {
        collect: (call, reply) => call.once("data", () => reply(null, Buffer.from("enough"))),
      };
      const answer = await new Promise<Buffer>((resolve, reject) => {
        const call = client.collect(new Metadata(), {}, (error, reply) =>
          error ? reject(error) : resolve(reply),
        );
        call.write(Buffer.from("x"));
      });
      assert.equal(String(answer), "enough");
    });

    test("a stream's error comes after what was written before it", async () => {
      handlers = {
        repeat(call) {
          call.write(Buffer.from("first"));
          call.emit("error", { code: Code.dataLoss, details: "lost" });
        },
      };
      const answer = await ask({ ":path": "/test.Echo/Repeat" }, framed(Buffer.of()));
      assert.equal(text(answer), "first");
      assert.equal(answer.trailers["grpc-status"], String(Code.dataLoss));
      assert.equal(answer.trailers["grpc-message"], "lost");
    });

    test("nothing written before an error or the end is lost to a slow reader", async () => {
      const piece = Buffer.alloc(50_000);
      for (const fails of [true, false]) {
        handlers = {
          repeat(call) {
            for (let n = 0; n < 60; n++) call.write(piece);
            if (fails) call.emit("error", { code: Code.dataLoss, details: "lost" });
            else call.end();
          },
        };
        const answer = await ask({ ":path": "/test.Echo/Repeat" }, framed(Buffer.of()));
        assert.equal(answer.body.length, 60 * 50_005);
        assert.equal(statusOf(answer), fails ? Code.dataLoss : Code.ok);
      }
    });

    test("a handler that does not read holds its caller back", async () => {
      const arrived = deferred<ServerReadableStream<Buffer, Buffer>>();
      handlers = {
        collect(call, reply) {
          arrived.resolve(call);
          call.on("end", () => reply(null, Buffer.from("done")));
        },
      };
      const stream = session.request({ ...grpc, ":path": "/test.Echo/Collect" });
      const piece = framed(Buffer.alloc(50_000));
      let sent = 0;
      while (stream.write(piece) || sent < 100) sent++;
      stream.end();
      const call = await arrived.promise;
      let before = -1;
      await eventually("the caller stands still", async () => {
        const still = stream.writableLength === before;
        before = stream.writableLength;
        await new Promise((resolve) => setTimeout(resolve, 20));
        return still;
      });
      assert.ok(before > 2_000_000, `${before} bytes wait at the caller`);
      call.resume();
      stream.resume();
      await once(stream, "close");
    });

    function sayTo(target: EchoClient): Promise<Buffer> {
      return new Promise((resolve, reject) => {
        target.say(Buffer.from("hello"), new Metadata(), {}, (error, reply) =>
          error ? reject(error) : resolve(reply),
        );
      });
    }
  });
}

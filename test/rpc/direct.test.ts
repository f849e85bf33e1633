/** Handlers that write their answers themselves, on either engine. */
import assert from "node:assert/strict";
import { once } from "node:events";
import * as http2 from "node:http2";
import { describe, test } from "node:test";
import { type ServiceError, status } from "@grpc/grpc-js";
import {
  type Answers,
  type CallContext,
  call,
  connect,
  createRpcServer,
  directStream,
  messagePrefixBytes,
  unary,
  writeMessagePrefix,
} from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { eventually } from "../patience.ts";
import { EchoClient, EchoService } from "./echo.ts";
import { hello } from "./harness.ts";
import { type LogLine, memoryLog } from "./helpers.ts";

type Handle = (
  requests: AsyncIterable<Buffer>,
  answers: Answers<Buffer>,
  context: CallContext,
) => void;

function framed(...messages: Buffer[]): Buffer {
  const pieces = messages.map((message) => {
    const piece = Buffer.alloc(messagePrefixBytes + message.length);
    message.copy(piece, writeMessagePrefix(piece, 0, message.length));
    return piece;
  });
  return Buffer.concat(pieces);
}

const later = () => new Promise<void>((resolve) => setImmediate(resolve));

for (const engine of ["trireme", "grpc-js"] as const) {
  describe(`direct streams on ${engine}`, () => {
    async function withChat(
      handle: Handle,
      body: (client: EchoClient, lines: LogLine[], port: number) => Promise<void>,
    ): Promise<void> {
      const lines: LogLine[] = [];
      const server = createRpcServer({ log: memoryLog(lines), engine });
      server.addService(EchoService, {
        say: unary<Buffer, Buffer>(async (request) => request),
        repeat: () => undefined,
        collect: () => undefined,
        chat: directStream<Buffer, Buffer>(handle),
      });
      const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
      const client = connect(EchoClient, { addresses: [`127.0.0.1:${port}`] });
      try {
        await body(client, lines, port);
      } finally {
        client.close();
        await server.close();
      }
    }

    async function echo(requests: AsyncIterable<Buffer>, answers: Answers<Buffer>): Promise<void> {
      for await (const request of requests) answers.write(request);
      answers.end();
    }

    test("requests come in order, and their end is told", async () => {
      const handle: Handle = (requests, answers, context) => {
        context.setTrailer("seen", context.path);
        void echo(requests, answers);
      };
      await withChat(handle, async (client) => {
        const chat = client.chat();
        const trailers = new Promise((resolve) => chat.on("status", resolve));
        for (let n = 0; n < 20; n++) chat.write(Buffer.from(`${n} `));
        chat.end();
        let said = "";
        for await (const message of chat) said += message;
        assert.equal(said, Array.from({ length: 20 }, (_, n) => `${n} `).join(""));
        const { metadata } = (await trailers) as { metadata: { get(key: string): unknown[] } };
        assert.deepEqual(metadata.get("seen"), ["/test.Echo/Chat"]);
      });
    });

    test("encoded messages go out as they are, in order with others, however they are cut", async () => {
      const handle: Handle = (_, answers) => {
        answers.write(Buffer.from("a"));
        const bytes = framed(Buffer.from("b"), Buffer.alloc(0), Buffer.alloc(40_000, "c"));
        answers.writeFramed([bytes.subarray(0, 3), bytes.subarray(3, 9), bytes.subarray(9)]);
        answers.write(Buffer.from("d"));
        answers.end();
      };
      await withChat(handle, async (client) => {
        const said: string[] = [];
        for await (const message of client.chat()) said.push(`${message.length}${message.at(0)}`);
        assert.deepEqual(said, ["197", "198", "0undefined", "4000099", "1100"]);
      });
    });

    test("who reads slowly makes writes say false, and is told to when it has caught up", async () => {
      const message = framed(Buffer.alloc(64 * 1024, "x"));
      let written = 0;
      let drained = 0;
      const handle: Handle = (_, answers) => {
        const fill = () => {
          while (written < 200) {
            written++;
            if (!answers.writeFramed([message])) return;
          }
          answers.end();
        };
        answers.onDrain = () => {
          drained++;
          fill();
        };
        fill();
      };
      await withChat(handle, async (client) => {
        const chat = client.chat();
        const iterator = chat[Symbol.asyncIterator]();
        assert.equal((await iterator.next()).value.length, 64 * 1024);
        let before = -1;
        await eventually("the handler stands still", async () => {
          const still = written === before;
          before = written;
          await later();
          return still;
        });
        assert.ok(written < 200, `${written} messages were taken at once`);
        let count = 1;
        while ((await iterator.next()).done !== true) count++;
        assert.equal(count, 200);
        assert.ok(drained > 0);
      });
    });

    test("the call of a caller who has gone is closed, and its requests end with an error", async () => {
      let closed = 0;
      let thrown: unknown;
      let aborted = false;
      const handle: Handle = (requests, answers, context) => {
        context.signal.onabort = () => {
          aborted = true;
        };
        answers.onClosed = () => {
          closed++;
        };
        echo(requests, answers).catch((error: unknown) => {
          thrown = error;
          // No caller receives it any more.
          answers.write(hello);
          answers.fail(error);
        });
      };
      await withChat(handle, async (client, _, port) => {
        const session = http2.connect(`http://127.0.0.1:${port}`);
        const stream = session.request({
          ":method": "POST",
          ":path": EchoService.chat.path,
          "content-type": "application/grpc",
          te: "trailers",
        });
        stream.write(framed(hello));
        await once(stream, "data");
        stream.on("error", () => {});
        session.destroy();
        await eventually("closed", () => closed === 1 && thrown !== undefined);
        assert.equal((thrown as StatusError).code, Code.cancelled);
        assert.equal(aborted, true);
        assert.equal(String(await call(client, "say", hello)), "hello", "others are served");
        assert.equal(closed, 1);
      });
    });

    test("an error ends the call after what was written; the unexpected is not told", async () => {
      const thrown = [new StatusError(Code.outOfRange, "too far"), new Error("a secret")];
      const handle: Handle = (_, answers) => {
        answers.write(hello);
        answers.fail(thrown.shift());
        answers.fail(new StatusError(Code.aborted, "twice"));
      };
      await withChat(handle, async (client, lines) => {
        for (const [code, details] of [
          [status.OUT_OF_RANGE, "too far"],
          [status.INTERNAL, "internal error"],
        ] as const) {
          const said: string[] = [];
          const chat = client.chat();
          chat.on("data", (message) => said.push(String(message)));
          const error = await new Promise<ServiceError>((resolve) => chat.on("error", resolve));
          assert.deepEqual([error.code, error.details], [code, details]);
          assert.deepEqual(said, ["hello"]);
        }
        const errors = lines.filter(({ level }) => level === "error");
        assert.equal(errors.length, 1);
        assert.match(JSON.stringify(errors), /a secret/);
      });
    });
  });
}

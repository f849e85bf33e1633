/** What is HTTP/2 and not gRPC, at a server's port and at the balancer's. */
import assert from "node:assert/strict";
import { once } from "node:events";
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import { connect as connectTcp } from "node:net";
import { after, afterEach, describe, test } from "node:test";
import { startBalancer } from "../../ha/balancer/mod.ts";
import { eventually } from "../patience.ts";
import { start } from "./harness.ts";
import { memoryLog } from "./helpers.ts";

/** Each gives a foreign request so many milliseconds to end. */
const ports: Readonly<Record<string, (millis: number) => Promise<number>>> = {
  server: async (millis) => (await start({}, { messageMillis: millis })).port,
  balancer: async (millis) => {
    const { port: master } = await start({});
    const balancer = await startBalancer({
      listen: { host: "127.0.0.1", port: 0 },
      masters: [{ name: "only", address: `127.0.0.1:${master}` }],
      log: memoryLog(),
      limits: { requestBodyMillis: millis },
    });
    after(() => balancer.close());
    return balancer.port;
  },
};

test("where HTTP/1.1 is served too, a third protocol is hung up on without a word", async () => {
  const { port } = await start({}, { http1: (_, reply) => reply.end("one") });
  const said = async (...pieces: readonly string[]) => {
    const socket = connectTcp(port, "127.0.0.1");
    let text = "";
    socket.setEncoding("latin1").on("data", (piece: string) => {
      text += piece;
    });
    for (const piece of pieces) {
      await new Promise((resolve) => socket.write(piece, resolve));
    }
    await once(socket, "close");
    return text;
  };
  assert.equal(await said("\x16\x03\x01"), "");
  assert.equal(await said("GETTING / HTTP/1.1\r\n\r\n"), "");
  assert.match(
    await said("G", "ET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
    /^HTTP\/1\.1 200 OK.*one/s,
  );
});

test("over HTTP/1.1 a head that does not come to its end is given up", async () => {
  const { port } = await start({}, { http1: (_, reply) => reply.end("one") });
  const socket = connectTcp(port, "127.0.0.1");
  socket.write("GET / HTTP/1.1\r\nhost: x\r\n");
  socket.resume();
  await once(socket, "close");
});

for (const [name, open] of Object.entries(ports)) {
  describe(`not gRPC, ${name}`, () => {
    let session: ClientHttp2Session | undefined;
    afterEach(() => session?.destroy());

    const ask = async (headers: OutgoingHttpHeaders, endStream: boolean, millis = 30_000) => {
      session = connectHttp2(`http://127.0.0.1:${await open(millis)}`);
      const stream = session.request(headers, { endStream });
      const [got] = (await once(stream, "response")) as [IncomingHttpHeaders];
      const answer = { status: got[":status"], allow: got["allow"], text: "", ended: false };
      stream.setEncoding("utf8");
      stream.on("data", (text: string) => {
        answer.text += text;
      });
      stream.on("end", () => {
        answer.ended = true;
      });
      return { stream, answer };
    };

    test("is told so in words", async () => {
      const { stream, answer } = await ask({ ":method": "GET", ":path": "/" }, true);
      await once(stream, "close");
      assert.equal(answer.status, 415);
      assert.match(answer.text, /^gRPC is spoken here/);
      assert.equal(stream.rstCode, 0);
    });

    test("may go on, and has its answer whole after its end", async () => {
      const { stream, answer } = await ask({ ":method": "POST", ":path": "/" }, false);
      assert.equal(answer.status, 415);
      // More than the windows take at a time.
      for (let i = 0; i < 64; i++) {
        if (!stream.write(Buffer.alloc(65_536))) await once(stream, "drain");
      }
      assert.equal(answer.ended, false);
      stream.end();
      await once(stream, "close");
      assert.match(answer.text, /^gRPC is spoken here/);
      assert.equal(stream.rstCode, 0);
    });

    test("is not waited for without an end", async () => {
      const { answer } = await ask({ ":method": "POST", ":path": "/" }, false, 300);
      await eventually("the answer ends", () => answer.ended);
      assert.match(answer.text, /^gRPC is spoken here/);
    });

    test("a method but POST is told which is allowed; HEAD has no body", async () => {
      const type = { "content-type": "application/grpc" };
      const get = await ask({ ":method": "PUT", ":path": "/", ...type }, true);
      await once(get.stream, "close");
      assert.deepEqual([get.answer.status, get.answer.allow], [405, "POST"]);
      const head = await ask({ ":method": "HEAD", ":path": "/", ...type }, true);
      if (!head.stream.closed) await once(head.stream, "close");
      assert.deepEqual([head.answer.status, head.answer.text], [405, ""]);
    });
  });
}

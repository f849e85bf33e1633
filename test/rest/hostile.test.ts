/** Clients that break the rules, or use them up: each is answered or cut off, and no other suffers. */
import assert from "node:assert/strict";
import { constants, connect as http2Connect } from "node:http2";
import { after, before, suite, test } from "node:test";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import { protocols, type RestWorld, restWorld } from "./harness.ts";

const configMaps = "/api/v1/namespaces/default/configmaps";
const bodyLimit = 3 * 1024 * 1024;
const shortMillis = 300;

function rawSocket(world: RestWorld, alpn: string): Promise<TLSSocket> {
  const { port, ca, admin } = world;
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, ca, ...admin, ALPNProtocols: [alpn] };
    const socket = tlsConnect(options, () => resolve(socket));
    socket.on("error", reject);
  });
}

/** What the server still says until it closes the connection. */
function untilClosed(socket: TLSSocket): Promise<string> {
  let heard = "";
  socket.on("data", (piece: Buffer) => {
    heard += piece.toString("latin1");
  });
  return new Promise((resolve) => socket.once("close", () => resolve(heard)));
}

suite("hostile clients", () => {
  let world: RestWorld;
  before(async () => {
    const restBounds = { headMillis: shortMillis, bodyMillis: shortMillis };
    world = await restWorld({ restBounds });
  });
  /** Whatever a test has done, the server serves. */
  after(async () => {
    assert.equal((await world.ask("/readyz")).status, 200);
    await world[Symbol.asyncDispose]();
  });

  for (const protocol of protocols) {
    test(`bodies over ${protocol}: oversized, deeply nested, no UTF-8, long lists of errors`, async () => {
      const post = (body: string | Uint8Array) =>
        world.ask(configMaps, { method: "POST", body }, protocol);
      const large = await post(Buffer.alloc(bodyLimit + 1, " "));
      assert.equal(large.status, 413, large.text);
      assert.equal(large.json.reason, "RequestEntityTooLarge");
      assert.equal(large.json.message, `Request entity too large: limit is ${bodyLimit}`);
      const fat = JSON.stringify({ metadata: { name: "fat" }, data: { k: "x".repeat(2_000_000) } });
      assert.equal((await post(fat)).status, 422);
      const deep = await post(`{"metadata":${"[".repeat(100_000)}`);
      assert.deepEqual([deep.status, deep.json.reason], [400, "BadRequest"]);
      const bytes = await post(Buffer.from([0x7b, 0x22, 0xff, 0xfe]));
      assert.equal(bytes.status, 400);
      const odd = Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`odd${i}`, 1]));
      const many = await post(JSON.stringify({ metadata: { generateName: "many-" }, ...odd }));
      assert.equal(many.status, 201);
      assert.ok(String(many.headers["warning"]).length < 10_000);
    });
  }

  test("a body that never comes, over HTTP/2: the request is refused in time", async () => {
    const session = http2Connect(`https://127.0.0.1:${world.port}`, {
      ca: world.ca,
      ...world.admin,
    });
    const stream = session.request(
      { ":path": configMaps, ":method": "POST" },
      { endStream: false },
    );
    stream.write("{");
    const status = await new Promise((resolve) =>
      stream.once("response", (headers) => resolve(headers[":status"])),
    );
    assert.equal(status, 504);
    session.destroy();
  });

  test("over HTTP/1.1: a head or a body that never comes is cut off", async () => {
    const head = await rawSocket(world, "http/1.1");
    head.write("GET /version HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    assert.match(await untilClosed(head), /^HTTP\/1.1 408 /);
    const body = await rawSocket(world, "http/1.1");
    body.write(`POST ${configMaps} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{`);
    assert.match(await untilClosed(body), /^HTTP\/1.1 504 [\s\S]*"reason":"Timeout"/);
  });

  test("over HTTP/1.1: floods of headers, and a declared length beyond the limit", async () => {
    const many = Array.from({ length: 500 }, (_, i) => `x-${i}: y\r\n`).join("");
    const flood = await rawSocket(world, "http/1.1");
    flood.write(`GET /version HTTP/1.1\r\nHost: x\r\n${many}\r\n`);
    assert.match(await untilClosed(flood), /^HTTP\/1.1 400 [\s\S]*header fields/);
    const fat = await rawSocket(world, "http/1.1");
    fat.write(`GET /version HTTP/1.1\r\nHost: x\r\nX-Fat: ${"y".repeat(100_000)}\r\n\r\n`);
    // The answer may be lost, as the server closes on what it has not read.
    assert.match(await untilClosed(fat), /^(HTTP\/1.1 431 |$)/);
    const long = await rawSocket(world, "http/1.1");
    long.write(`POST ${configMaps} HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n`);
    assert.match(await untilClosed(long), /^HTTP\/1.1 413 /);
    const chunked = await rawSocket(world, "http/1.1");
    chunked.on("error", () => {});
    chunked.write(`POST ${configMaps} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`);
    const chunk = `10000\r\n${"z".repeat(65_536)}\r\n`;
    for (let sent = 0; sent <= bodyLimit; sent += 65_536) chunked.write(chunk);
    assert.match(await untilClosed(chunked), /^(HTTP\/1.1 413 |$)/);
    const smuggled = await rawSocket(world, "http/1.1");
    smuggled.write(
      "GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    assert.match(await untilClosed(smuggled), /^HTTP\/1.1 400 /);
  });

  test("over HTTP/2: no preface, a flood of headers", async () => {
    const noise = await rawSocket(world, "h2");
    noise.on("error", () => {});
    noise.write("GET / HTTP/1.1\r\n\r\n");
    await untilClosed(noise);
    const session = http2Connect(`https://127.0.0.1:${world.port}`, {
      ca: world.ca,
      ...world.admin,
    });
    const headers = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`x-${i}`, "y"]));
    const stream = session.request({ ":path": "/version", ...headers });
    const code = await new Promise((resolve) => {
      stream.on("error", () => {});
      stream.once("close", () => resolve(stream.rstCode));
    });
    assert.notEqual(code, constants.NGHTTP2_NO_ERROR);
    session.destroy();
  });

  test("requests that are given up at once, by the thousand", async () => {
    const session = http2Connect(`https://127.0.0.1:${world.port}`, {
      ca: world.ca,
      ...world.admin,
    });
    session.on("error", () => {});
    const closed = Array.from({ length: 2_000 }, () => {
      const stream = session.request({ ":path": `${configMaps}?watch=true` });
      stream.on("error", () => {});
      stream.close(constants.NGHTTP2_CANCEL);
      return new Promise<void>((resolve) => stream.once("close", () => resolve()));
    });
    await Promise.all(closed);
    session.destroy();
  });

  test("a thousand idle watches on one connection, and their end with it", async () => {
    const session = http2Connect(`https://127.0.0.1:${world.port}`, {
      ca: world.ca,
      ...world.admin,
    });
    const opened = Array.from({ length: 1_000 }, () => {
      const stream = session.request({ ":path": `${configMaps}?watch=true&resourceVersion=0` });
      stream.on("error", () => {});
      return new Promise((resolve) => stream.once("response", (head) => resolve(head[":status"])));
    });
    const statuses = await Promise.all(opened);
    assert.deepEqual([...new Set(statuses)], [200]);
    session.destroy();
  });
});

test("connections beyond the limit are closed at once", async () => {
  await using world = await restWorld({ restBounds: { maxConnections: 4 } });
  const held = await Promise.all(Array.from({ length: 4 }, () => rawSocket(world, "h2")));
  await assert.rejects(rawSocket(world, "h2"));
  for (const socket of held) {
    socket.on("error", () => {});
    socket.destroy();
  }
});

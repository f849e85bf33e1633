/** REST clients beyond their limits, and masters that leave: each costs itself alone. */
import assert from "node:assert/strict";
import { createServer, type Socket } from "node:net";
import { afterEach, describe, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { FrameType as T } from "../../ha/http2/codes.ts";
import { encodeHeaders } from "../../ha/http2/mod.ts";
import { frame, settings, uint32 } from "../http2/wire.ts";
import { eventually } from "../patience.ts";
import { type Cluster, startCluster } from "./fakes.ts";
import { askHttp1, type RestCluster, useRestCluster } from "./rest-fakes.ts";

const begin = useRestCluster();
const path = "/api/v1/pods";

function rawHttp1({ port, ca }: RestCluster) {
  const socket = connectTls({ host: "127.0.0.1", port, ca: ca.ca, ALPNProtocols: ["http/1.1"] });
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
  });
  socket.on("error", () => {});
  return { socket, text: () => text };
}

describe("a REST client over its limits", () => {
  test("with too large a head is told so, or loses its request alone", async () => {
    const at = await begin();
    const { client, port, ca, rests } = at;
    const long = { authorization: `Bearer ${"x".repeat(60_000)}` };
    await assert.rejects(client.ask("GET", path, { headers: long }), {
      code: "ERR_HTTP2_STREAM_ERROR",
    });
    assert.equal((await askHttp1(port, { ca: ca.ca }, { path, headers: long })).status, 431);
    const many = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`x-${n}`, "y"]));
    await assert.rejects(client.ask("GET", path, { headers: many }), {
      code: "ERR_HTTP2_STREAM_ERROR",
    });
    const { status, text } = await askHttp1(port, { ca: ca.ca }, { path, headers: many });
    assert.deepEqual([status, JSON.parse(text).reason], [400, "BadRequest"]);
    assert.equal(rests.flatMap(({ seen }) => seen).length, 0);
    const token = { authorization: `Bearer ${"x".repeat(30_000)}` };
    assert.equal((await client.ask("GET", path, { headers: token })).status, 200);
    assert.equal((await askHttp1(port, { ca: ca.ca }, { path, headers: token })).status, 200);
  });

  test("that sends its head or its body by drops is cut off, others are not", async () => {
    const at = await begin({ limits: { http1HeadMillis: 200, requestBodyMillis: 400 } });
    const head = rawHttp1(at);
    head.socket.write("GET /api HTTP/1.1\r\nHost: a\r\n");
    const body = rawHttp1(at);
    body.socket.write(`POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{`);
    const modern = at.client.open("POST", path);
    modern.write("{");
    let status: number | undefined;
    modern.on("response", (headers) => {
      status = Number(headers[":status"]);
    });
    modern.on("error", () => {});
    modern.resume();
    await eventually("the head is given up", () => head.socket.closed);
    await eventually("the body is given up", () => body.socket.closed || /^HTTP/.test(body.text()));
    await eventually("so is that over HTTP/2", () => status === 504);
    assert.equal(at.rests.flatMap(({ seen }) => seen).length, 0);
    assert.equal((await at.client.ask("GET", path)).status, 200);
  });

  test("beyond the streams of a connection, and beyond the connections, is refused", async () => {
    const at = await begin({ limits: { concurrentStreams: 4, connections: 12 } });
    for (const rest of at.rests) rest.handle = () => {};
    const held = Array.from({ length: 4 }, () => at.client.open("GET", `${path}?watch=1`));
    for (const stream of held) stream.on("error", () => {}).end();
    await eventually("four are open", () => at.balancer.status().active === 4);
    // Node's client keeps to the announced limit by itself.
    const fifth = at.client.open("GET", path);
    fifth.on("error", () => {}).end();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(at.balancer.status().active, 4);
    for (const stream of held) stream.close();
    await eventually("the fifth comes", () =>
      at.rests.some(({ seen }) => seen.some((one) => one.path === path)),
    );
    const idle = Array.from({ length: 20 }, () => rawHttp1(at));
    await eventually(
      "some are refused",
      () => idle.filter(({ socket }) => socket.closed).length >= 8,
    );
    for (const { socket } of idle) socket.destroy();
  });

  test("that reads nothing is cut off, by HTTP/1.1 too", async () => {
    const at = await begin({ limits: { http1StalledMillis: 150 } });
    for (const rest of at.rests) {
      rest.handle = (_, reply) => {
        reply.writeHead(200);
        reply.end(Buffer.alloc(32 * 1024 * 1024));
      };
    }
    const { socket } = rawHttp1(at);
    socket.pause();
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
    await eventually("it is asked", () => at.balancer.status().active === 1);
    await eventually("it is over", () => at.balancer.status().active === 0);
    socket.destroy();
  });

  test("whose request makes no sense is told so", async () => {
    const at = await begin();
    const raw = rawHttp1(at);
    raw.socket.write("GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    await eventually("it is answered", () => raw.text().includes("\r\n\r\n"));
    assert.match(raw.text(), /^HTTP\/1\.1 400 /);
    raw.socket.destroy();
    const whole = rawHttp1(at);
    whole.socket.write(
      `GET https://a${path}?limit=1 HTTP/1.1\r\nHost: a\r\nX-Drop: 1\r\nConnection: x-drop\r\n\r\n`,
    );
    await eventually("it is answered", () => /^HTTP\/1\.1 200 /.test(whole.text()));
    const [seen] = at.rests.flatMap((rest) => rest.seen);
    assert.deepEqual([seen?.path, seen?.headers["x-drop"]], [`${path}?limit=1`, undefined]);
    whole.socket.destroy();
  });
});

describe("a master", () => {
  let cluster: Cluster | undefined;
  const closing: (() => void)[] = [];
  afterEach(async () => {
    await cluster?.stop();
    for (const close of closing.splice(0)) close();
  });

  /** Speaks HTTP/2 in frames made by hand, without TLS. Answers its port. */
  async function frames(answer: (socket: Socket, streamId: number) => void): Promise<number> {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      closing.push(() => socket.destroy());
      socket.write(Buffer.concat([settings(), frame(T.settings, 1, 0)]));
      let rest = Buffer.alloc(0);
      let skipped = false;
      socket.on("data", (chunk: Buffer) => {
        rest = Buffer.concat([rest, chunk]);
        if (!skipped && rest.length >= 24) {
          rest = rest.subarray(24);
          skipped = true;
        }
        while (skipped && rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
          const length = 9 + rest.readUIntBE(0, 3);
          const [type, flags, streamId] = [rest[3], rest[4] ?? 0, rest.readUInt32BE(5)];
          const payload = rest.subarray(9, length);
          rest = rest.subarray(length);
          if (type === T.ping && flags === 0) socket.write(frame(T.ping, 1, 0, payload));
          if (type === T.headers) answer(socket, streamId);
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closing.push(() => server.close());
    const address = server.address();
    return address !== null && typeof address === "object" ? address.port : 0;
  }

  test("that says goodbye above a call, or refuses its stream, has not begun it", async () => {
    const ok = encodeHeaders([":status", "200", "x-from", "another"]);
    const leave = (socket: Socket) => socket.write(frame(T.goaway, 0, 0, uint32(0, 0)));
    const refuse = (socket: Socket, id: number) =>
      socket.write(frame(T.rstStream, 0, id, uint32(7)));
    let [left, refused] = [0, 0];
    cluster = await startCluster({
      restPortOf: ({ name }) =>
        frames((socket, id) => {
          if (name === "master-0" && left === 0) {
            left++;
            leave(socket);
          } else if (name === "master-0" && refused === 0) {
            refused++;
            refuse(socket, id);
          } else socket.write(frame(T.headers, 5, id, ok));
        }),
    });
    const { balancer } = cluster;
    const connected = () => balancer.status().masters.every((one) => one.restConnected === true);
    await eventually("all are connected", connected);
    const post = () =>
      fetch(`http://127.0.0.1:${balancer.restPort}${path}`, { method: "POST", body: "{}" });
    for (const counts of [
      [1, 0],
      [1, 1],
    ]) {
      await eventually("all are connected", connected);
      const answer = await post();
      assert.deepEqual([answer.status, answer.headers.get("x-from")], [200, "another"]);
      assert.deepEqual([left, refused], counts);
    }
    assert.equal(balancer.status().retries, 2);
  });
});

/** REST watches, logs and upgraded connections through the balancer. */
import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { request as requestHttp1 } from "node:http";
import type { ClientHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { describe, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { queryTimeoutMillis, restMethodOf } from "../../ha/balancer/rest-methods.ts";
import { WholeLines } from "../../ha/balancer/whole-lines.ts";
import { eventually } from "../patience.ts";
import { type RestCluster, useRestCluster } from "./rest-fakes.ts";

const begin = useRestCluster();
const watchPath = "/api/v1/pods?watch=true&resourceVersion=5";

test("a request's method and path say what may be done with it", () => {
  const of = (method: string, path: string) => {
    const { shape, repeatable, forLeader, resumed, anyMaster, limited } = restMethodOf(
      method,
      path,
    );
    const words = [shape, repeatable, forLeader && "leader", resumed, anyMaster && "any"];
    return [...words, limited && "limited"].filter(Boolean).join(" ");
  };
  const inDefault = "/api/v1/namespaces/default";
  assert.equal(of("GET", `${inDefault}/pods`), "unary read limited");
  assert.equal(of("GET", `${inDefault}/pods/log`), "unary read limited");
  assert.equal(of("GET", `${inDefault}/pods?watch=false`), "unary read limited");
  assert.equal(of("GET", `${inDefault}/pods?labelSelector=watch%3Dtrue`), "unary read limited");
  assert.equal(of("GET", "/apis/apps/v1/deployments?watch=1"), "stream read end");
  assert.equal(of("GET", `${inDefault}/pods?limit=5&watch`), "stream read end");
  assert.equal(of("GET", "/api/v1/watch/pods"), "stream read end");
  assert.equal(of("GET", `${inDefault}/pods/a/log?follow=true`), "stream read");
  assert.equal(of("GET", "/api/v1/nodes/n/proxy/metrics"), "stream read");
  assert.equal(of("POST", `${inDefault}/services/s/proxy/x`), "stream opaque");
  assert.equal(of("POST", `${inDefault}/pods/a/exec?command=ls`), "stream opaque");
  assert.equal(of("POST", `${inDefault}/pods/a/binding`), "unary write leader limited");
  assert.equal(of("DELETE", `${inDefault}/pods/proxy`), "unary write leader limited");
  assert.equal(
    of("PATCH", "/apis/apps/v1/namespaces/a/deployments/b/scale"),
    "unary write leader limited",
  );
  assert.equal(of("POST", "/somewhere"), "unary opaque limited");
  assert.equal(of("GET", "/readyz/etcd"), "unary read any limited");
  assert.equal(of("GET", "/openapi/v3"), "unary read limited");
  const timeouts = [
    "?timeout=30s",
    "?timeout=1m30s",
    "?timeout=1.5h",
    "?timeout=x",
    "?timeout=",
    "",
  ];
  assert.deepEqual(
    timeouts.map((query) => queryTimeoutMillis(`/api/v1/pods${query}`)),
    [30_000, 90_000, 5_400_000, undefined, undefined, undefined],
  );
});

test("lines are passed on when they are whole, or too long to be kept", () => {
  const lines = new WholeLines(10);
  const take = (text: string) => {
    const bytes = Buffer.from(`..${text}..`);
    const pieces = lines.take(bytes, 2, bytes.length - 2);
    return pieces.map((piece) => piece.bytes.toString("utf8", piece.start, piece.end)).join("|");
  };
  assert.equal(take("ab"), "");
  assert.equal(take("cd\nef\ngh"), "ab|cd\nef\n");
  assert.equal(take("\n"), "gh|\n");
  assert.equal(take("12345"), "");
  assert.equal(take("678901"), "12345|678901");
  assert.equal(take("\n"), "\n");
  assert.equal(take("rest"), "");
  assert.equal(lines.rest().length, 1);
  assert.equal(lines.rest().length, 0);
});

interface Watch {
  readonly stream: ClientHttp2Stream;
  text: string;
  ended: boolean;
  error: Error | undefined;
  status: number | undefined;
}

function openWatch({ client }: Pick<RestCluster, "client">, path = watchPath): Watch {
  const stream = client.open("GET", path);
  const watch: Watch = { stream, text: "", ended: false, error: undefined, status: undefined };
  stream.end();
  stream.on("response", (headers) => {
    watch.status = Number(headers[":status"]);
  });
  stream.on("data", (chunk: Buffer) => {
    watch.text += chunk;
  });
  stream.on("end", () => {
    watch.ended = stream.rstCode === 0;
  });
  stream.on("error", (error) => {
    watch.error = error;
  });
  return watch;
}

/** Every master answers a watch with one event and keeps it open; answers how many it serves. */
function serveWatches({ rests }: RestCluster): readonly { open: number }[] {
  return rests.map((rest) => {
    const count = { open: 0 };
    rest.handle = (_, reply) => {
      count.open++;
      reply.stream.on("close", () => count.open--);
      reply.writeHead(200, { "content-type": "application/json" });
      reply.write(`{"from":"${rest.master.name}"}\n`);
    };
    return count;
  });
}

describe("a REST watch", () => {
  test("is spread, and ends cleanly when its master drains or dies", async () => {
    const at = await begin({ limits: { spreadMillis: 50 } });
    const { masters, kill, balancer, cluster } = at;
    const serving = serveWatches(at);
    const watches = Array.from({ length: 9 }, () => openWatch(at));
    const got = () => watches.every(({ text }) => text.endsWith("\n"));
    await eventually("all have begun", got);
    assert.deepEqual(
      serving.map(({ open }) => open),
      [3, 3, 3],
    );
    masters[0].set({ ready: false });
    await eventually(
      "its watches are over",
      () => watches.filter(({ ended }) => ended).length === 3,
    );
    await eventually("the master knows", () => serving[0]?.open === 0);
    assert.equal(balancer.status().moves, 3);
    await kill(1);
    await eventually(
      "three more are over",
      () => watches.filter(({ ended }) => ended).length === 6,
    );
    assert.deepEqual(
      watches.map(({ error }) => error),
      Array(9).fill(undefined),
    );
    masters[0].set({ ready: true });
    await eventually("it is back", () => cluster.healthy() === 2);
    watches.push(...Array.from({ length: 6 }, () => openWatch(at)));
    const level = () => Math.abs((serving[0]?.open ?? 0) - (serving[2]?.open ?? 0)) <= 1;
    await eventually("they are level", level);
    for (const { stream } of watches) stream.close();
    await eventually("none is left", () => balancer.status().active === 0);
  });

  test("never ends within an event, and is begun elsewhere while nothing of it has come", async () => {
    const at = await begin();
    const { rests, kill, client } = at;
    const served: number[] = [];
    for (const [index, rest] of rests.entries()) {
      rest.handle = (_, reply) => {
        served.push(index);
        reply.writeHead(200, { "content-type": "application/json" });
        if (served.length === 1) reply.write("");
        else reply.write('{"whole":1}\n{"half":');
      };
    }
    const watch = openWatch(at);
    await eventually("headers have come", () => watch.status === 200);
    await kill(served[0] ?? 0);
    await eventually("another master serves it", () => watch.text !== "");
    assert.deepEqual([watch.text, watch.ended, served.length], ['{"whole":1}\n', false, 2]);
    await kill(served[1] ?? 0);
    await eventually("it is over", () => watch.ended);
    assert.deepEqual([watch.text, watch.error], ['{"whole":1}\n', undefined]);
    // The client has the headers of a watch; of another answer it hears when it begins anew.
    const last = rests.find((_, index) => !served.includes(index));
    assert.ok(last);
    last.handle = (_, reply) => void reply.writeHead(410).end('{"code":410}');
    const { status, text } = await client.ask("GET", watchPath);
    assert.deepEqual([status, text], [410, '{"code":410}']);
  });

  test("in another encoding than lines of JSON goes on as it comes", async () => {
    const at = await begin();
    for (const headers of [
      { "content-type": "application/vnd.kubernetes.protobuf;stream=watch" },
      { "content-type": "application/json", "content-encoding": "gzip" },
    ]) {
      for (const rest of at.rests) {
        rest.handle = (_, reply) => {
          reply.writeHead(200, headers);
          reply.write("no line");
        };
      }
      const watch = openWatch(at);
      await eventually("it has come", () => watch.text === "no line");
      watch.stream.close();
    }
  });

  test("survives a master that says it has done nothing", async () => {
    const at = await begin();
    serveWatches(at);
    const refused = at.rests[0];
    const { handle } = refused;
    let refusals = 0;
    refused.handle = (_, reply) => {
      refusals++;
      reply.writeHead(503, { "trireme-retry": "safe" });
      reply.end("{}");
    };
    const watches = Array.from({ length: 6 }, () => openWatch(at));
    await eventually("all are served", () => watches.every(({ text }) => text.endsWith("\n")));
    assert.ok(refusals > 0);
    assert.ok(watches.every(({ status }) => status === 200));
    refused.handle = handle;
    for (const { stream } of watches) stream.close();
  });

  test("ends cleanly when the balancer drains, a request gets its answer, HTTP/1.1 too", async () => {
    const at = await begin();
    serveWatches(at);
    const watch = openWatch(at);
    const old = await openHttp1(at, watchPath);
    await eventually(
      "both have begun",
      () => watch.text.endsWith("\n") && old.text().endsWith("\n"),
    );
    await at.balancer.drain(100);
    await eventually("both are over", () => watch.ended && old.ended());
    assert.deepEqual([watch.error, at.balancer.status().connections], [undefined, 0]);
  });

  test("a log that is followed stays with its master, and breaks off with it", async () => {
    const at = await begin({ limits: { spreadMillis: 20 } });
    const serving = serveWatches(at);
    const log = openWatch(at, "/api/v1/namespaces/default/pods/a/log?follow=true");
    await eventually("it has begun", () => log.text.endsWith("\n"));
    const holder = serving.findIndex(({ open }) => open === 1);
    at.masters[holder]?.set({ ready: false });
    await eventually("the master drains", () => at.cluster.healthy() === 2);
    const more = openWatch(at);
    await eventually("others go elsewhere", () => more.text.endsWith("\n"));
    assert.deepEqual([log.ended, serving[holder]?.open], [false, 1]);
    await at.kill(holder);
    await eventually("it breaks off", () => log.error !== undefined);
    more.stream.close();
  });
});

async function openHttp1({ port, ca }: RestCluster, path: string) {
  const createConnection = () =>
    connectTls({ host: "127.0.0.1", port, ca: ca.ca, ALPNProtocols: ["http/1.1"] });
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    requestHttp1({ path, createConnection }).on("response", resolve).on("error", reject).end();
  });
  let text = "";
  let ended = false;
  response.on("data", (chunk: Buffer) => {
    text += chunk;
  });
  response.on("end", () => {
    ended = true;
  });
  return { text: () => text, ended: () => ended };
}

/** A raw connection by HTTP/1.1 that asks for an upgrade. */
function rawUpgrade({ port, ca }: RestCluster, headers = "", tls = {}) {
  const socket = connectTls({
    ...{ host: "127.0.0.1", port, ca: ca.ca, ALPNProtocols: ["http/1.1"] },
    ...tls,
  });
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
  });
  socket.on("error", () => {});
  socket.write(
    "GET /api/v1/namespaces/default/pods/a/exec?command=ls HTTP/1.1\r\nHost: api\r\n" +
      `Connection: Upgrade\r\nUpgrade: websocket\r\n${headers}\r\n`,
  );
  return { socket, text: () => text };
}

describe("an upgraded connection", () => {
  const agree = (socket: Socket) =>
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );

  test("goes to one master whole, as who the client is, and ends with either side", async () => {
    const at = await begin();
    const seen: IncomingMessage[] = [];
    let far: Socket | undefined;
    for (const rest of at.rests) {
      rest.upgrade = (request, socket, rest) => {
        seen.push(request);
        far = socket;
        agree(socket);
        socket.write(rest);
        socket.on("data", (chunk) => socket.write(chunk));
        socket.on("error", () => {});
      };
    }
    const pair = await at.ca.client("jane", ["devs", "testers"]);
    const spoof =
      "X-Remote-User: root\r\nX-Remote-Group: system:masters\r\nSec-WebSocket-Key: k\r\n";
    const { socket, text } = rawUpgrade(at, spoof, pair);
    await eventually("it is agreed", () => text().includes("\r\n\r\n"));
    assert.match(text(), /^HTTP\/1\.1 101 /);
    const [request] = seen;
    assert.equal(request?.url, "/api/v1/namespaces/default/pods/a/exec?command=ls");
    assert.deepEqual(request?.headersDistinct["x-remote-user"], ["jane"]);
    assert.deepEqual(request?.headersDistinct["x-remote-group"], ["devs", "testers"]);
    assert.deepEqual(
      [request?.headers["sec-websocket-key"], request?.headers.upgrade, request?.headers.host],
      ["k", "websocket", "api"],
    );
    const bytes = "z".repeat(300_000);
    socket.write(bytes);
    await eventually("all has come back", () => text().endsWith(bytes));
    const streams = () => at.balancer.status().masters.reduce((sum, each) => sum + each.streams, 0);
    assert.equal(streams(), 1);
    far?.destroy();
    await eventually("the client's side is closed", () => socket.closed);
    await eventually("it is not counted any more", () => streams() === 0);
    const second = rawUpgrade(at);
    await eventually("it is agreed", () => second.text().includes("\r\n\r\n"));
    second.socket.destroy();
    await eventually("the master's side is closed", () => far?.closed === true);
    assert.equal(at.balancer.status().active, 0);
  });

  test("is refused in the master's words, and nothing of the client follows", async () => {
    const at = await begin();
    let requests = 0;
    for (const rest of at.rests) {
      rest.upgrade = (_, socket) => {
        requests++;
        socket.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope");
        socket.on("data", () => requests++);
      };
    }
    const { socket, text } = rawUpgrade(at);
    const smuggled = "GET /api/v1/secrets HTTP/1.1\r\nHost: api\r\nX-Remote-User: root\r\n\r\n";
    socket.write(smuggled);
    await eventually("it is over", () => socket.closed);
    assert.match(text(), /^HTTP\/1\.1 403 Forbidden\r\n.*\r\n\r\nnope$/s);
    assert.equal(requests, 1);
    assert.equal(at.rests.flatMap(({ seen }) => seen).length, 0);
    const body = rawUpgrade(at, "Content-Length: 5\r\n");
    await eventually("a body is refused", () => body.socket.closed);
    assert.match(body.text(), /^HTTP\/1\.1 400 /);
  });

  test("is begun elsewhere when its master cannot be reached, and waits for none for ever", async () => {
    const at = await begin({ limits: { waitMillis: 200, leaderWaitMillis: 100 } });
    for (const rest of at.rests) rest.upgrade = (_, socket) => void agree(socket);
    // What stands of its connections stays, so the balancer counts on it.
    await at.rests[0].refuse();
    const { socket, text } = rawUpgrade(at);
    await eventually("it is agreed", () => /^HTTP\/1\.1 101 /.test(text()));
    const more = [rawUpgrade(at), rawUpgrade(at)];
    await eventually("each is", () => more.every((each) => /^HTTP\/1\.1 101 /.test(each.text())));
    assert.ok(at.balancer.status().retries > 0);
    for (const master of at.masters) master.set({ ready: false });
    await eventually("none is ready", () => at.cluster.healthy() === 0);
    const late = rawUpgrade(at);
    await eventually("it is told so", () => late.socket.closed);
    assert.match(late.text(), /^HTTP\/1\.1 503 .*retry-after: 1\r\n.*ServiceUnavailable/s);
    socket.destroy();
  });

  test("ends when its master has been silent for long", async () => {
    const at = await begin({ wires: true, limits: { suspectTunnelMillis: 100 } });
    const held: number[] = [];
    for (const [n, rest] of at.rests.entries()) {
      rest.upgrade = (_, socket) => {
        held.push(n);
        agree(socket);
      };
    }
    const { socket, text } = rawUpgrade(at);
    await eventually("it is agreed", () => text().includes("\r\n\r\n"));
    at.freeze(held[0] ?? 0);
    await eventually("it is over", () => socket.closed);
  });
});

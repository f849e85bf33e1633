/** REST through the balancer: who is calling, what is repeated, and what a client is told. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { eventually } from "../patience.ts";
import { deferred } from "../rpc/helpers.ts";
import { askHttp1, lastSeen, useRestCluster } from "./rest-fakes.ts";

const begin = useRestCluster();
const pods = "/api/v1/namespaces/default/pods";
const never = () => {};

describe("a REST client", () => {
  test("is who its certificate says; the balancer's own words cannot be said by it", async () => {
    const { client, connect, port, ca } = await begin();
    const headers = {
      ...{ "x-remote-user": "admin", "x-remote-group": "system:masters", "x-remote-uid": "0" },
      ...{ "x-remote-extra-scopes": "all", "impersonate-user": "bob" },
      ...{ authorization: "Bearer own", "impersonate-group": "ops", accept: "application/json" },
    };
    assert.equal((await client.ask("GET", pods, { headers })).status, 200);
    const jane = lastSeen();
    assert.deepEqual(
      [jane.headers["x-remote-user"], jane.headers["x-remote-group"], jane.peer],
      ["jane", "devs, testers", "front-proxy"],
    );
    assert.equal(jane.headers["x-remote-uid"], undefined);
    assert.equal(jane.headers["x-remote-extra-scopes"], undefined);
    assert.equal(jane.headers.authorization, "Bearer own");
    assert.deepEqual(
      [jane.headers["impersonate-user"], jane.headers["impersonate-group"]],
      ["bob", "ops"],
    );
    await connect().ask("GET", pods, { headers });
    const bare = lastSeen();
    assert.deepEqual(
      [bare.headers["x-remote-user"], bare.headers["x-remote-group"]],
      ["", undefined],
    );
    await askHttp1(port, { ca: ca.ca }, { path: pods, headers: { "X-Remote-User": "admin" } });
    const old = lastSeen();
    assert.deepEqual(
      [old.headers["x-remote-user"], old.headers["x-remote-group"]],
      ["", undefined],
    );
    const root = await ca.client("root", ["system:masters"]);
    await askHttp1(port, { ca: ca.ca, ...root }, { path: pods, headers });
    const last = lastSeen();
    assert.deepEqual(
      [last.headers["x-remote-user"], last.headers["x-remote-group"]],
      ["root", "system:masters"],
    );
  });

  test("with a stranger's certificate is told so", async () => {
    const { rests, connect, port, ca } = await begin();
    const { createCa } = await import("../rpc/certs.ts");
    const pair = await (await createCa("other")).client("jane");
    const { status, text } = await connect(pair).ask("GET", pods);
    const { reason, message } = JSON.parse(text);
    assert.deepEqual([status, reason], [401, "Unauthorized"]);
    assert.match(message, /not signed by this cluster's CA/);
    assert.equal((await askHttp1(port, { ca: ca.ca, ...pair }, { path: pods })).status, 401);
    assert.equal(rests.flatMap(({ seen }) => seen).length, 0);
  });

  test("sends and gets everything as it is, by HTTP/2 and HTTP/1.1", async () => {
    const { rests, client, port, ca } = await begin();
    for (const rest of rests) {
      rest.handle = ({ method, path, body, headers }, reply) => {
        reply.writeHead(201, { "x-own": "yes", "content-type": headers["content-type"] });
        reply.end(`${method} ${path} ${body.length} ${body.toString("utf8", 0, 5)}`);
      };
    }
    const body = "ä".repeat(40_000);
    const headers = { "content-type": "application/yaml", "content-length": String(80_000) };
    const path = `${pods}?fieldManager=a%20b&dryRun=All`;
    const expected = `POST ${path} 80000 ${Buffer.from(body).toString("utf8", 0, 5)}`;
    const answers = [
      await client.ask("POST", path, { headers, body }),
      await askHttp1(port, { ca: ca.ca }, { method: "POST", path, headers, body }),
    ];
    for (const { status, headers: got, text } of answers) {
      assert.deepEqual([status, got["x-own"], text], [201, "yes", expected]);
      assert.equal(got["content-type"], "application/yaml");
    }
    for (const rest of rests) {
      rest.handle = (_, reply) => {
        reply.writeHead(200, { "content-length": "5" });
        reply.end();
      };
    }
    const heads = [
      await client.ask("HEAD", pods),
      await askHttp1(port, { ca: ca.ca }, { method: "HEAD", path: pods }),
    ];
    for (const { headers: got, text } of heads)
      assert.deepEqual([got["content-length"], text], ["5", ""]);
    for (const rest of rests) rest.handle = (_, reply) => void reply.writeHead(204).end();
    assert.equal((await client.ask("DELETE", pods)).status, 204);
    assert.equal(
      (await askHttp1(port, { ca: ca.ca }, { method: "DELETE", path: pods })).status,
      204,
    );
  });

  test("gets a long answer at its own pace", async () => {
    const { rests, client } = await begin();
    const megabyte = Buffer.alloc(1024 * 1024, "x");
    let sent = 0;
    for (const rest of rests) {
      rest.handle = (_, reply) => {
        reply.writeHead(200);
        const more = (): void => {
          while (sent < 64) {
            sent++;
            if (!reply.write(megabyte)) {
              reply.once("drain", more);
              return;
            }
          }
          reply.end();
        };
        more();
      };
    }
    const stream = client.open("GET", pods);
    stream.end();
    stream.pause();
    await new Promise((resolve) => stream.once("response", resolve));
    // The windows are full long before the end, and nothing in between takes the rest.
    await eventually("it has begun", () => sent > 0);
    let before = -1;
    await eventually("it waits", async () => {
      const still = before === sent;
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 100));
      return still;
    });
    assert.ok(sent < 16, `${sent} MB are on the way`);
    let got = 0;
    stream.on("data", (chunk: Buffer) => {
      got += chunk.length;
    });
    stream.resume();
    await new Promise((resolve) => stream.on("end", resolve));
    assert.equal(got, 64 * megabyte.length);
  });
});

describe("a REST request is sent again elsewhere", () => {
  test("a write whose master dies, with the same id, unseen by the client", async () => {
    const { masters, rests, client, kill, balancer } = await begin();
    rests[0].handle = never;
    const write = client.ask("POST", pods, { body: "{}" });
    await eventually("it has arrived", () => rests[0].seen.length === 1);
    await kill(0);
    masters[1].set({ role: "leader", term: 2, leaderName: "master-1" });
    assert.deepEqual(JSON.parse((await write).text), { master: "master-1" });
    const [first, second] = [rests[0].seen[0], rests[1].seen[0]];
    assert.match(String(first?.headers["trireme-request-id"]), /^[0-9a-f]{32}$/);
    assert.equal(
      second?.headers["trireme-request-id"],
      first?.headers["trireme-request-id"],
      "the id stays",
    );
    assert.equal(first?.headers["trireme-attempt"], undefined);
    assert.equal(second?.headers["trireme-attempt"], "2");
    assert.equal(second?.body.toString(), "{}");
    assert.ok(balancer.status().retries >= 1);
  });

  test("writes go to the leader under the client's own id, reads to all without one", async () => {
    const { rests, client } = await begin();
    const headers = { "trireme-request-id": "mine", "trireme-attempt": "3" };
    for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
      await client.ask(method, `${pods}/a`, { headers });
    }
    assert.equal(rests[0].seen.length, 4);
    for (const { headers: got } of rests[0].seen) {
      assert.equal(got["trireme-request-id"], "mine");
      assert.equal(got["trireme-attempt"], "3");
    }
    for (let n = 0; n < 9; n++) await client.ask("GET", `${pods}/${n}`);
    for (const { seen } of rests) {
      const reads = seen.filter(({ method }) => method === "GET");
      assert.equal(reads.length, 3);
      for (const read of reads) assert.equal(read.headers["trireme-request-id"], undefined);
    }
  });

  test("a read of whose answer the client has nothing", async () => {
    const { rests, client, kill } = await begin();
    let dying = 0;
    for (const [at, rest] of rests.entries()) {
      const { handle } = rest;
      rest.handle = (seen, reply, request) => {
        if (dying++ > 0) return handle(seen, reply, request);
        reply.writeHead(200, { "content-length": "100" });
        reply.write("a part of it");
        reply.stream.once("data", never);
        setTimeout(() => void kill(at), 20);
      };
    }
    const { status, text } = await client.ask("GET", pods);
    assert.equal(status, 200);
    assert.match(JSON.parse(text).master, /^master-/);
  });

  test("what a master says it has not done, refuses, or says goodbye to", async () => {
    const { rests, client, balancer } = await begin();
    const { handle } = rests[1];
    const refusals: (typeof handle)[] = [
      (_, reply) => void reply.writeHead(503, { "trireme-retry": "safe" }).end("{}"),
      (_, reply) => reply.stream.close(7),
    ];
    for (const refuse of refusals) {
      rests[0].handle = refuse;
      const before = rests[0].seen.length;
      const { status, text } = await client.ask("POST", pods, { body: "{}" });
      assert.deepEqual([status, rests[0].seen.length], [200, before + 1]);
      assert.notEqual(JSON.parse(text).master, "master-0");
    }
    // What may have been done is the client's to judge.
    for (const rest of rests) rest.handle = (_, reply) => void reply.writeHead(503).end("{}");
    assert.equal((await client.ask("POST", pods, { body: "{}" })).status, 503);
    assert.equal(balancer.status().active, 0);
  });

  test("calls on a stopped master, but none that may not be done twice", async () => {
    const { masters, rests, client, freeze, balancer } = await begin({ wires: true });
    const gate = deferred();
    for (const [at, rest] of rests.entries()) {
      const { handle } = rest;
      rest.handle = (seen, reply, request) => {
        if (at > 0) void gate.promise.then(() => handle(seen, reply, request));
      };
    }
    const write = client.ask("POST", pods, { body: "{}" });
    await eventually("it has arrived", () => rests[0].seen.length === 1);
    const others: Promise<{ status: number; text: string }>[] = [];
    await eventually("it holds an opaque call and a watch", async () => {
      others.push(client.ask("POST", "/somewhere/else"), client.ask("GET", `${pods}?watch=1`));
      await new Promise((resolve) => setTimeout(resolve, 5));
      const paths = rests[0].seen.map(({ path }) => path);
      return paths.includes("/somewhere/else") && paths.includes(`${pods}?watch=1`);
    });
    const opaque = rests[0].seen.filter(({ path }) => path === "/somewhere/else").length;
    freeze(0);
    masters[1].set({ role: "leader", term: 2, leaderName: "master-1" });
    gate.resolve();
    assert.equal((await write).status, 200);
    const statuses = (await Promise.all(others)).map(({ status }) => status);
    assert.equal(statuses.filter((status) => status === 503).length, opaque);
    assert.equal(statuses.filter((status) => status === 200).length, others.length - opaque);
    assert.equal(balancer.status().masters[0]?.suspected, true);
  });

  test("a body too large to be kept goes on as it comes, once", async () => {
    const { rests, client, kill } = await begin({
      limits: { requestBytes: 1_000, requestBytesTotal: 10_000 },
    });
    const body = "x".repeat(50_000);
    const { status } = await client.ask("POST", pods, { body });
    assert.deepEqual([status, rests[0].seen[0]?.body.length], [200, 50_000]);
    rests[0].handle = never;
    const pending = client.ask("POST", pods, { body });
    await eventually("it has arrived", () => rests[0].seen.length === 2);
    await kill(0);
    const { status: after, text } = await pending;
    assert.deepEqual([after, JSON.parse(text).reason], [503, "ServiceUnavailable"]);
    assert.equal(rests[1].seen.length + rests[2].seen.length, 0);
  });
});

test("a master that fails REST calls is left out for a while, for all protocols", async () => {
  const { rests, client, balancer } = await begin();
  rests[1].handle = (_, reply) => void reply.writeHead(500).end("{}");
  const ejected = () => balancer.status().masters.map((master) => master.ejected);
  for (let n = 0; n < 40 && !ejected()[1]; n++) await client.ask("GET", pods);
  assert.deepEqual(ejected(), [false, true, false]);
  const before = rests[1].seen.length;
  for (let n = 0; n < 6; n++) assert.equal((await client.ask("GET", pods)).status, 200);
  assert.equal(rests[1].seen.length, before);
});

describe("without a master", () => {
  test("a REST client is told when to come back; health is answered by any", async () => {
    const { masters, rests, client, cluster, port, ca } = await begin({
      limits: { waitMillis: 150, leaderWaitMillis: 100 },
    });
    for (const master of masters) master.set({ ready: false });
    await eventually("none is ready", () => cluster.healthy() === 0);
    const answers = [
      await client.ask("GET", pods),
      await client.ask("POST", pods, { body: "{}" }),
      await askHttp1(port, { ca: ca.ca }, { path: pods }),
    ];
    for (const { status, headers, text } of answers) {
      assert.deepEqual([status, headers["retry-after"]], [503, "1"]);
      assert.equal(headers["content-type"], "application/json");
      const { kind, apiVersion, reason, code, details, message } = JSON.parse(text);
      assert.deepEqual(
        [kind, apiVersion, reason, code],
        ["Status", "v1", "ServiceUnavailable", 503],
      );
      assert.equal(details.retryAfterSeconds, 1);
      assert.match(message, /no master is ready; waited 150 ms/);
    }
    assert.equal(rests.flatMap(({ seen }) => seen).length, 0);
    for (const path of ["/livez", "/readyz?verbose", "/healthz/etcd", "/version"]) {
      assert.equal((await client.ask("GET", path)).status, 200);
    }
  });

  test("a request that takes too long ends with 504, at its own time or after a minute", async () => {
    const { rests, client } = await begin({ limits: { restMillis: 300, restGraceMillis: 1 } });
    for (const rest of rests) rest.handle = never;
    const watch = client.open("GET", `${pods}?watch=true&timeout=10ms`);
    watch.end();
    const limited = [`${pods}?timeout=10ms`, pods, `${pods}?timeout=1h`, `${pods}?watch=false`];
    for (const path of limited) {
      const { status, text } = await client.ask("GET", path);
      assert.deepEqual([status, JSON.parse(text).reason], [504, "Timeout"]);
    }
    assert.equal(watch.closed, false);
    watch.close(8);
  });
});

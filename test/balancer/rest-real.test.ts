/** The balancer before a real apiserver: both understand the same of who calls, and of upgrades. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket } from "ws";
import { startBalancer } from "../../ha/balancer/mod.ts";
import { eventually } from "../patience.ts";
import { type RestWorld, restWorld } from "../rest/harness.ts";
import { memoryLog } from "../rpc/helpers.ts";
import { answerOf, askHttp1, RestClient } from "./rest-fakes.ts";

const path = "/api/v1/namespaces/default/configmaps";
const json = { "content-type": "application/json" };

async function balanced(world: RestWorld) {
  const proxy = await world.user("trireme:balancer");
  const own = await world.serverPair();
  const listen = { host: "127.0.0.1", port: 0, tls: { ...own, clientCa: world.ca } };
  const address = `127.0.0.1:${world.server.port}`;
  const balancer = await startBalancer({
    listen,
    rest: listen,
    masters: [{ name: "master-0", address, rest: `127.0.0.1:${world.port}` }],
    upstreamTls: { ca: world.ca, ...proxy },
    log: memoryLog(),
  });
  await eventually("it is reached", () => {
    const [master] = balancer.status().masters;
    return master?.healthy === true && master.restConnected === true;
  });
  return { balancer, port: balancer.restPort ?? 0 };
}

async function whoami(
  port: number,
  tls: ConstructorParameters<typeof RestClient>[1],
  headers = {},
) {
  const client = new RestClient(port, tls);
  const review = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" };
  const url = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
  const body = JSON.stringify(review);
  const { status, text } = await client.ask("POST", url, {
    headers: { ...json, ...headers },
    body,
  });
  client.close();
  return { status, ...JSON.parse(text).status?.userInfo };
}

test("a real apiserver knows the client behind the balancer, over both protocols", async () => {
  await using world = await restWorld({ tokens: 'secret,bob,7,"ops"' });
  const { balancer, port } = await balanced(world);
  try {
    const jane = { ca: world.ca, ...(await world.user("jane", "devs", "testers")) };
    const direct = await whoami(world.port, jane);
    const through = await whoami(port, jane);
    assert.deepEqual(through, direct);
    assert.deepEqual([through.username, through.status], ["jane", 201]);
    const bearer = { authorization: "Bearer secret", "x-remote-user": "root" };
    assert.equal((await whoami(port, { ca: world.ca }, bearer)).username, "bob");
    const admin = { ca: world.ca, ...world.admin };
    const acting = await whoami(port, admin, { "impersonate-user": "eve" });
    assert.equal(acting.username, "eve");
    const anonymous = await askHttp1(port, { ca: world.ca }, { path });
    assert.equal(anonymous.status, 403);
    assert.match(anonymous.text, /system:anonymous/);

    const client = new RestClient(port, admin);
    const watch = client.open("GET", `${path}?watch=true`);
    watch.end();
    const answer = answerOf(watch).catch(() => undefined);
    const headers = { ...json, "trireme-request-id": "once" };
    const body = JSON.stringify({ metadata: { name: "a" } });
    const created = [];
    for (let n = 0; n < 2; n++) created.push(await client.ask("POST", path, { headers, body }));
    assert.deepEqual(
      created.map(({ status }) => status),
      [201, 201],
      "the same id, the same answer",
    );
    const [first, second] = created.map(({ text }) => JSON.parse(text).metadata.uid);
    assert.equal(first, second);
    const old = await askHttp1(port, admin, { path: `${path}/a` });
    assert.equal(JSON.parse(old.text).metadata.uid, first);
    watch.close();
    client.close();
    await Promise.race([answer, new Promise((resolve) => watch.on("close", resolve))]);
  } finally {
    await balancer.close();
  }
});

test("an upgrade reaches a real apiserver, and its refusal comes back", async () => {
  await using world = await restWorld();
  const { balancer, port } = await balanced(world);
  try {
    const url = `wss://127.0.0.1:${port}/api/v1/namespaces/default/pods/none/exec?command=ls&stdout=1`;
    const socket = new WebSocket(url, "v5.channel.k8s.io", { ca: world.ca, ...world.admin });
    const said = await new Promise<string>((resolve) => {
      socket.on("unexpected-response", (_, response) => resolve(String(response.statusCode)));
      socket.on("message", (data) => resolve(Buffer.isBuffer(data) ? data.toString() : ""));
      socket.on("error", (error) => resolve(error.message));
    });
    assert.match(said, /404|not found/);
    socket.terminate();
  } finally {
    await balancer.close();
  }
});

import assert from "node:assert/strict";
import { connect } from "node:http2";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { parse } from "yaml";
import { protocols, type RestWorld, restWorld } from "./harness.ts";

const table = "application/json;as=Table;v=v1;g=meta.k8s.io";
const partial = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const partialList = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
const replicaSets = "/apis/apps/v1/namespaces/default/replicasets";

async function makeReplicaSet(world: RestWorld): Promise<void> {
  const labels = { app: "web" };
  const made = await world.ask(replicaSets, {
    method: "POST",
    body: {
      metadata: { name: "web", labels },
      spec: {
        replicas: 3,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: "web", image: "nginx" }] } },
      },
    },
  });
  assert.equal(made.status, 201, made.text);
}

test("a list and an object as a table, with cells of the columns' types", async () => {
  await using world = await restWorld();
  await makeReplicaSet(world);
  for (const path of [replicaSets, `${replicaSets}/web`]) {
    const { json } = await world.ask(path, { headers: { accept: `${table},application/json` } });
    assert.equal(json.kind, "Table");
    assert.equal(json.apiVersion, "meta.k8s.io/v1");
    assert.match(json.metadata.resourceVersion, /^\d+$/);
    const shown = json.columnDefinitions.map(
      ({ name, type, format, priority }: Record<string, unknown>) => [name, type, format, priority],
    );
    assert.deepEqual(shown, [
      ["Name", "string", "name", 0],
      ["Desired", "integer", "", 0],
      ["Current", "integer", "", 0],
      ["Ready", "integer", "", 0],
      ["Age", "string", "", 0],
      ["Containers", "string", "", 1],
      ["Images", "string", "", 1],
      ["Selector", "string", "", 1],
    ]);
    const [{ cells, object }] = json.rows;
    assert.deepEqual(
      [...cells.slice(0, 4), ...cells.slice(5)],
      ["web", 3, 0, 0, "web", "nginx", "app=web"],
    );
    assert.equal(object.kind, "PartialObjectMetadata");
    assert.equal(object.metadata.name, "web");
    assert.equal(object.spec, undefined);
  }
  const whole = await world.ask(`${replicaSets}?includeObject=Object`, {
    headers: { accept: table },
  });
  assert.equal(whole.json.rows[0].object.kind, "ReplicaSet");
  const none = await world.ask(`${replicaSets}?includeObject=None`, { headers: { accept: table } });
  assert.equal(none.json.rows[0].object, undefined);
  const odd = await world.ask(`${replicaSets}?includeObject=Some`, { headers: { accept: table } });
  assert.equal(odd.status, 400);
});

test("metadata alone", async () => {
  await using world = await restWorld();
  await makeReplicaSet(world);
  const one = await world.ask(`${replicaSets}/web`, { headers: { accept: partial } });
  assert.deepEqual(Object.keys(one.json), ["kind", "apiVersion", "metadata"]);
  assert.equal(one.json.kind, "PartialObjectMetadata");
  const all = await world.ask(replicaSets, { headers: { accept: partialList } });
  assert.equal(all.json.kind, "PartialObjectMetadataList");
  assert.equal(all.json.items[0].metadata.name, "web");
  const wrong = await world.ask(replicaSets, { headers: { accept: partial } });
  assert.equal(wrong.status, 406);
  const fallen = await world.ask(replicaSets, {
    headers: { accept: `${partial};q=0.1,application/json` },
  });
  assert.equal(fallen.json.kind, "ReplicaSetList");
});

test("Accept: JSON for whoever takes it, YAML on request, 406 for what is not made here", async () => {
  await using world = await restWorld();
  const path = "/api/v1/namespaces/default";
  for (const accept of [
    "*/*",
    "application/*",
    "application/vnd.kubernetes.protobuf,application/json",
    "application/vnd.kubernetes.protobuf, */*;q=0.5",
    "text/html, application/json;q=0.9",
    "",
  ]) {
    const { status, headers } = await world.ask(path, { headers: { accept } });
    assert.deepEqual([accept, status, headers["content-type"]], [accept, 200, "application/json"]);
  }
  const yaml = await world.ask(path, { headers: { accept: "application/yaml" } });
  assert.equal(yaml.headers["content-type"], "application/yaml");
  assert.equal(parse(yaml.text).metadata.name, "default");
  for (const accept of [
    "text/html",
    "application/vnd.kubernetes.protobuf",
    "application/json;q=0",
  ]) {
    const { status, json } = await world.ask(path, { headers: { accept } });
    assert.deepEqual([accept, status, json.reason], [accept, 406, "NotAcceptable"]);
  }
});

test("large answers are compressed for who takes it; people's programs get legible JSON", async () => {
  await using world = await restWorld();
  const data = { text: "trireme ".repeat(30_000) };
  const path = "/api/v1/namespaces/default/configmaps";
  await world.ask(path, { method: "POST", body: { metadata: { name: "large" }, data } });
  const plain = await world.ask(`${path}/large`);
  assert.equal(plain.headers["content-encoding"], undefined);
  assert.equal(plain.headers["content-length"], String(Buffer.byteLength(plain.text)));
  const session = connect(`https://127.0.0.1:${world.port}`, { ca: world.ca, ...world.admin });
  const stream = session.request({ ":path": `${path}/large`, "accept-encoding": "br, gzip" });
  const pieces: Buffer[] = [];
  let encoding: unknown;
  stream.once("response", (headers) => {
    encoding = headers["content-encoding"];
  });
  for await (const piece of stream) pieces.push(piece as Buffer);
  session.close();
  assert.equal(encoding, "gzip");
  assert.equal(gunzipSync(Buffer.concat(pieces)).toString(), plain.text);
  const pretty = await world.ask("/api/v1/namespaces/default?pretty=true");
  assert.match(pretty.text, /^\{\n {2}"apiVersion": "v1",\n/);
  const curl = await world.ask("/api/v1/namespaces/default", {
    headers: { "user-agent": "curl/8.0" },
  });
  assert.equal(curl.text, pretty.text);
});

test("a long list is the same document, made while it is sent, compressed or not", async () => {
  await using world = await restWorld();
  const path = "/api/v1/namespaces/default/configmaps";
  const data = { text: "trireme ".repeat(10_000) };
  for (let i = 0; i < 10; i++) {
    await world.ask(path, { method: "POST", body: { metadata: { name: `long-${i}` }, data } });
  }
  for (const protocol of protocols) {
    const { status, headers, json, text } = await world.ask(path, {}, protocol);
    assert.deepEqual([status, headers["content-length"]], [200, undefined]);
    const names = json.items.map((each: { metadata: { name: string } }) => each.metadata.name);
    assert.deepEqual(
      names.filter((name: string) => name.startsWith("long-")),
      Array.from({ length: 10 }, (_, i) => `long-${i}`),
    );
    const head = await world.ask(path, { method: "HEAD" }, protocol);
    assert.deepEqual([head.status, head.text], [200, ""]);
    if (protocol !== "h2") continue;
    const session = connect(`https://127.0.0.1:${world.port}`, { ca: world.ca, ...world.admin });
    const stream = session.request({ ":path": path, "accept-encoding": "gzip" });
    const pieces: Buffer[] = [];
    for await (const piece of stream) pieces.push(piece as Buffer);
    session.close();
    const { items } = JSON.parse(gunzipSync(Buffer.concat(pieces)).toString());
    assert.deepEqual(items, JSON.parse(text).items);
  }
});

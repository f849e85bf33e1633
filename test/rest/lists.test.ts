/** Long lists, which are made a piece at a time while they are sent. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type ClientHttp2Session, type ClientHttp2Stream, connect as http2 } from "node:http2";
import { after, before, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { stringify } from "yaml";
import { call, connect, pieceTurns } from "../../ha/rpc/mod.ts";
import { PodList, PodsClient } from "../../proto/gen/core.ts";
import { DynamicClient } from "../../proto/gen/dynamic.ts";
import { limits } from "../../services/apiserver/limits.ts";
import { eventually, patienceMillis } from "../patience.ts";
import { type Ask, protocols, type RestWorld, restWorld } from "./harness.ts";
import { fillPods } from "./many-pods.ts";

const count = 700;
const pods = "/api/v1/namespaces/default/pods";
const table = "application/json;as=Table;v=v1;g=meta.k8s.io";
const partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

let world: RestWorld;

before(async () => {
  world = await restWorld();
  const bytes = await fillPods(world, count);
  assert.ok(count * bytes > 2 * limits.streamedListBytes, "the list is a long one");
});

after(() => world[Symbol.asyncDispose]());

const bare = { "user-agent": "test" };

async function ask(path: string, headers: Ask["headers"] = {}) {
  const answer = await world.ask(path, { headers: { ...bare, ...headers } });
  assert.equal(answer.status, 200, answer.text.slice(0, 500));
  return answer;
}

/** All items, by short pages, which are made at once. */
async function paged(field: "items" | "rows", query = "", headers: Ask["headers"] = {}) {
  // biome-ignore lint/suspicious/noExplicitAny: documents of every shape.
  const items: any[] = [];
  let next = "";
  for (;;) {
    const { json } = await ask(`${pods}?limit=100${query}${next}`, headers);
    items.push(...json[field]);
    if (!json.metadata.continue) return items;
    next = `&continue=${encodeURIComponent(json.metadata.continue)}`;
  }
}

test("a long list has the bytes of its pages' items, over both protocols and compressed", async () => {
  const items = await paged("items");
  assert.equal(items.length, count);
  for (const protocol of protocols) {
    const plain = await world.ask(pods, { headers: bare }, protocol);
    assert.equal(plain.headers["content-length"], undefined, "its length is not known before");
    assert.deepEqual(Object.keys(plain.json), ["kind", "apiVersion", "metadata", "items"]);
    assert.equal(plain.json.metadata.remainingItemCount, undefined);
    const whole = { ...plain.json, items };
    assert.equal(plain.text, JSON.stringify(whole));
  }
  const { headers, bytes } = await raw(`${pods}`, { "accept-encoding": "gzip" });
  assert.equal(headers["content-encoding"], "gzip");
  assert.equal(gunzipSync(bytes).toString(), (await ask(pods)).text);
});

test("a long page says how many items are still to come", async () => {
  const { json } = await ask(`${pods}?limit=600`);
  assert.equal(json.items.length, 600);
  assert.equal(json.metadata.remainingItemCount, count - 600);
  const rest = await ask(`${pods}?continue=${encodeURIComponent(json.metadata.continue)}`);
  assert.equal(rest.json.metadata.resourceVersion, json.metadata.resourceVersion);
  assert.deepEqual([...json.items, ...rest.json.items], await paged("items"));
});

test("long lists for people and as YAML have the bytes of the whole printed at once", async () => {
  const plain = (await ask(pods)).json;
  const pretty = await ask(`${pods}?pretty=true`);
  assert.equal(pretty.text, `${JSON.stringify(plain, null, 2)}\n`);
  const yaml = await ask(pods, { accept: "application/yaml" });
  assert.equal(yaml.headers["content-type"], "application/yaml");
  assert.equal(yaml.text, stringify(plain));
  for (const [accept, print] of [
    ["application/json", (value: object) => `${JSON.stringify(value, null, 2)}\n`],
    ["application/yaml", (value: object) => stringify(value)],
  ] as const) {
    const none = await ask(`${pods}?labelSelector=app%3Dnone&pretty=true`, { accept });
    const { metadata } = (await ask(`${pods}?labelSelector=app%3Dnone`)).json;
    const empty = { kind: "PodList", apiVersion: "v1", metadata, items: [] };
    assert.equal(none.text, print(empty));
  }
});

test("long tables and lists of metadata have the items of their pages", async () => {
  const rows = await paged("rows", "", { accept: table });
  const short = (await ask(`${pods}?limit=1`, { accept: table })).json;
  const long = await ask(`${pods}`, { accept: table });
  assert.deepEqual(long.json.columnDefinitions, short.columnDefinitions);
  const shownAge = /^\d+[smhd]/;
  const withoutAge = (all: { cells: unknown[] }[]) =>
    all.map((row) => ({ ...row, cells: row.cells.filter((cell) => !shownAge.test(`${cell}`)) }));
  assert.deepEqual(withoutAge(long.json.rows), withoutAge(rows));
  const items = await paged("items", "", { accept: partial });
  assert.deepEqual((await ask(pods, { accept: partial })).json.items, items);
  const pretty = await ask(`${pods}?pretty=true`, { accept: partial });
  const { metadata } = pretty.json;
  const whole = {
    kind: "PartialObjectMetadataList",
    apiVersion: "meta.k8s.io/v1",
    metadata,
    items,
  };
  assert.equal(pretty.text, `${JSON.stringify(whole, null, 2)}\n`);
});

test("long lists over gRPC are whole messages with the same items", async () => {
  const items = await paged("items");
  const { ca, admin, server } = world;
  const tls = { ca, cert: admin.cert, key: admin.key };
  const options = { addresses: [`127.0.0.1:${server.port}`], tls };
  const typed = connect(PodsClient, options);
  const dynamic = connect(DynamicClient, options);
  try {
    const list = await call(typed, "list", { namespace: "default" });
    assert.equal(list.kind, "PodList");
    assert.deepEqual(
      list.items,
      items.map((item) => PodList.decode(encoded([item])).items?.[0]),
    );
    const third = { namespace: "default", labelSelector: "third=yes", limit: 100 };
    assert.equal((await call(typed, "list", third)).items?.length, 100);
    const ref = { apiVersion: "v1", kind: "Pod" };
    const { json, warnings } = await call(dynamic, "list", { ref, list: { namespace: "default" } });
    const found = JSON.parse(Buffer.from(json ?? []).toString());
    assert.deepEqual(warnings ?? [], []);
    assert.deepEqual(Object.keys(found), ["apiVersion", "kind", "metadata", "items"]);
    assert.deepEqual(found.items, items);
  } finally {
    typed.close();
    dynamic.close();
  }
});

function encoded(items: object[]): Uint8Array {
  return PodList.encode({ items } as PodList).finish();
}

test("selectors find what a look at every object finds", async () => {
  const items = await paged("items");
  // biome-ignore lint/suspicious/noExplicitAny: documents of every shape.
  const found = async (query: string, holds: (pod: any) => boolean) => {
    const { json } = await ask(`${pods}?${query}`);
    assert.deepEqual(json.items, items.filter(holds), query);
  };
  await found("labelSelector=third%3Dyes", ({ metadata }) => metadata.labels.third === "yes");
  await found("labelSelector=!third", ({ metadata }) => metadata.labels.third === undefined);
  await found("labelSelector=third%3Dno", () => false);
  await found("fieldSelector=spec.nodeName%3Dnode-0", ({ spec }) => spec.nodeName === "node-0");
  await found("fieldSelector=spec.nodeName!%3Dnode-0", ({ spec }) => spec.nodeName !== "node-0");
  await found("fieldSelector=metadata.name!%3Dpod-0000001", (pod) => {
    return pod.metadata.name !== "pod-0000001";
  });
});

test("a list shows one moment, whatever is written while it is read", async () => {
  const before = (await ask(pods)).text;
  const { session, stream } = await opened(pods);
  const [first = ""] = before.match(/"metadata":\{"resourceVersion":"\d+"\}/) ?? [];
  await world.ask(`${pods}/pod-0000699?gracePeriodSeconds=0`, { method: "DELETE" });
  const patched = await world.ask(`${pods}/pod-0000698`, {
    method: "PATCH",
    headers: { "content-type": "application/merge-patch+json" },
    body: { metadata: { labels: { changed: "yes" } } },
  });
  assert.equal(patched.status, 200, patched.text);
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  session.close();
  const text = Buffer.concat(pieces).toString();
  assert.ok(text.includes(first));
  assert.ok(text === before, "nothing of what came later shows");
  assert.equal((await ask(pods)).json.items.length, count - 1);
});

test("clients that stop reading hold a window and a piece each, and leave nothing behind", async () => {
  const readers = 40;
  const made = pieceTurns.bytesMade;
  const open = await Promise.all(Array.from({ length: readers }, () => opened(pods)));
  const list = (await ask(pods)).text.length;
  const other = pieceTurns.bytesMade - made;
  const windowBytes = 64 * 1024;
  const most = readers * (windowBytes + 2 * pieceBytes) + list;
  assert.ok(other <= most, `${other} bytes were made, of which ${list} were read`);
  // Half of them leave in the middle; the others read on.
  const [leave, stay] = [open.slice(0, readers / 2), open.slice(readers / 2)];
  for (const { session } of leave) session.destroy();
  for (const { session, stream } of stay) {
    let bytes = 0;
    for await (const piece of stream) bytes += (piece as Buffer).length;
    assert.equal(bytes, list);
    session.close();
  }
  await eventually("the end of all lists", () => pieceTurns.waiting === 0);
  const end = pieceTurns.bytesMade - made;
  assert.ok(end <= (readers / 2) * list + most, "the rest is not made for those who left");
});

test("long lists beyond what is compressed at once are sent as they are", async () => {
  const gzip = { "accept-encoding": "gzip" };
  const configMaps = "/api/v1/namespaces/default/configmaps";
  for (let count = 0; count < 10; count++) {
    const data = { value: randomBytes(90_000).toString("base64") };
    const body = { metadata: { name: `large-${count}` }, data };
    assert.equal((await world.ask(configMaps, { method: "POST", body })).status, 201);
  }
  const open: Opened[] = [];
  const encodings: unknown[] = [];
  for (let count = 0; count <= limits.gzipStreams; count++) {
    const one = await opened(configMaps, gzip, 100);
    open.push(one);
    encodings.push(one.head["content-encoding"]);
  }
  const expected = Array.from({ length: limits.gzipStreams }, () => "gzip");
  assert.deepEqual(encodings, [...expected, undefined]);
  for (const { session } of open) session.destroy();
  await eventually("the end of all lists", () => pieceTurns.waiting === 0);
  const deadline = performance.now() + patienceMillis;
  for (;;) {
    const { session, head } = await opened(configMaps, gzip, 100);
    session.destroy();
    if (head["content-encoding"] === "gzip") break;
    assert.ok(performance.now() < deadline, "lists that ended make room for others");
  }
});

test("a list that fails before it is sent is told as an error, and holds no seats", async () => {
  const single = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
  const refused = await world.ask(pods, { headers: { ...bare, accept: single } });
  assert.equal(refused.status, 406, refused.text);
  const sealed = Buffer.from(`k8s:enc:aescbc:v1:key:${"x".repeat(limits.streamedListBytes)}`);
  const key = Buffer.from("/registry/secrets/default/sealed");
  const success = [{ op: "put", key, value: sealed } as const];
  await world.store.txn({ compares: [], success, failure: [] });
  const failed = await world.ask("/api/v1/namespaces/default/secrets", { headers: bare });
  assert.equal(failed.status, 500);
  assert.match(failed.json.message, /unable to transform key/);
  const { text } = await ask("/metrics");
  const seats =
    /^apiserver_flowcontrol_current_executing_seats\{priority_level="global-default"\} (\d+)$/m;
  assert.equal(seats.exec(text)?.[1], "0");
});

const pieceBytes = 64 * 1024;

interface Opened {
  readonly session: ClientHttp2Session;
  readonly stream: ClientHttp2Stream;
  readonly head: Record<string, unknown>;
}

/** A list whose head has come, and whose body is not read yet. */
async function opened(
  path: string,
  headers: Ask["headers"] = {},
  initialWindowSize = 65_535,
): Promise<Opened> {
  const { ca, admin, port } = world;
  const settings = { initialWindowSize };
  const session = http2(`https://127.0.0.1:${port}`, { ca, ...admin, settings });
  const stream = session.request({ ":path": path, ...bare, ...headers });
  stream.on("error", () => {});
  const head = await new Promise<Opened["head"]>((resolve) => stream.once("response", resolve));
  return { session, stream, head };
}

async function raw(path: string, headers: Ask["headers"]) {
  const { ca, admin, port } = world;
  const session = http2(`https://127.0.0.1:${port}`, { ca, ...admin });
  const stream = session.request({ ":path": path, ...bare, ...headers });
  const heads = new Promise<Record<string, unknown>>((resolve) => {
    stream.once("response", (head) => resolve(head));
  });
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  session.close();
  return { headers: await heads, bytes: Buffer.concat(pieces) };
}

import assert from "node:assert/strict";
import { connect } from "node:http2";
import { request as http1Request } from "node:https";
import type { Readable } from "node:stream";
import { test } from "node:test";
import { type Protocol, protocols, type RestWorld, restWorld } from "./harness.ts";

const configMaps = "/api/v1/namespaces/default/configmaps";

interface Event {
  type: string;
  // biome-ignore lint/suspicious/noExplicitAny: events carry objects of every kind.
  object: any;
}

/** The events of a watch, as they come; ends with the stream. */
class Watch implements AsyncDisposable {
  readonly #lines: AsyncIterator<string>;
  readonly #end: () => void;
  readonly status: number;

  private constructor(status: number, body: Readable, end: () => void) {
    this.status = status;
    this.#lines = linesOf(body);
    this.#end = end;
  }

  static open(world: RestWorld, path: string, protocol: Protocol, headers = {}): Promise<Watch> {
    const { port, ca, admin } = world;
    return new Promise((resolve, reject) => {
      if (protocol === "h2") {
        const session = connect(`https://127.0.0.1:${port}`, { ca, ...admin });
        session.once("error", reject);
        const stream = session.request({ ":path": path, ...headers });
        stream.on("error", () => {});
        stream.once("response", (head) => {
          resolve(new Watch(Number(head[":status"]), stream, () => session.destroy()));
        });
        return;
      }
      const options = { host: "127.0.0.1", port, ca, ...admin, path, agent: false, headers };
      const request = http1Request(options, (response) => {
        response.on("error", () => {});
        resolve(new Watch(response.statusCode ?? 0, response, () => request.destroy()));
      });
      request.once("error", reject);
      request.end();
    });
  }

  async next(): Promise<Event | undefined> {
    const { done, value } = await this.#lines.next();
    return done ? undefined : (JSON.parse(value) as Event);
  }

  async [Symbol.asyncDispose]() {
    this.#end();
  }
}

async function* linesOf(body: Readable): AsyncGenerator<string> {
  let rest = "";
  for await (const piece of body) {
    const lines = (rest + String(piece)).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

async function make(world: RestWorld, name: string, labels = {}) {
  const body = { metadata: { name, labels } };
  const { status, json } = await world.ask(configMaps, { method: "POST", body });
  assert.equal(status, 201);
  return json;
}

for (const protocol of protocols) {
  test(`a watch over ${protocol} tells what happens from a revision on, and what is selected`, async () => {
    await using world = await restWorld();
    const { json: list } = await world.ask(configMaps);
    const from = `${configMaps}?watch=true&resourceVersion=${list.metadata.resourceVersion}`;
    await using all = await Watch.open(world, from, protocol);
    await using web = await Watch.open(world, `${from}&labelSelector=app%3Dweb`, protocol);
    assert.equal(all.status, 200);
    const made = await make(world, "a");
    await make(world, "b", { app: "web" });
    await world.ask(`${configMaps}/a`, { method: "DELETE" });
    const seen = [await all.next(), await all.next(), await all.next()];
    assert.deepEqual(
      seen.map((event) => [event?.type, event?.object.metadata.name]),
      [
        ["ADDED", "a"],
        ["ADDED", "b"],
        ["DELETED", "a"],
      ],
    );
    assert.deepEqual(seen[0]?.object, made);
    const selected = await web.next();
    assert.equal(selected?.object.metadata.name, "b");
  });
}

test("a watch ends in time, with initial events and their bookmark before", async () => {
  await using world = await restWorld();
  await make(world, "a");
  const path =
    `${configMaps}?watch=1&sendInitialEvents=true&allowWatchBookmarks=true` +
    "&resourceVersionMatch=NotOlderThan&timeoutSeconds=1&fieldSelector=metadata.name%3Da";
  await using watch = await Watch.open(world, path, "h2");
  assert.equal((await watch.next())?.type, "ADDED");
  const bookmark = await watch.next();
  assert.equal(bookmark?.type, "BOOKMARK");
  assert.equal(bookmark?.object.kind, "ConfigMap");
  assert.deepEqual(bookmark?.object.metadata.annotations, { "k8s.io/initial-events-end": "true" });
  assert.equal(await watch.next(), undefined);
});

test("one object alone, and the deprecated path", async () => {
  await using world = await restWorld();
  const { json } = await world.ask(configMaps);
  const since = `resourceVersion=${json.metadata.resourceVersion}`;
  await using one = await Watch.open(world, `${configMaps}/b?watch&${since}`, "h2");
  const old = "/api/v1/watch/namespaces/default/configmaps";
  await using all = await Watch.open(world, `${old}?${since}`, "h2");
  await make(world, "a");
  await make(world, "b");
  assert.equal((await one.next())?.object.metadata.name, "b");
  assert.equal((await all.next())?.object.metadata.name, "a");
});

test("watch events as tables, with the columns once", async () => {
  await using world = await restWorld();
  const { json } = await world.ask(configMaps);
  const accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
  const path = `${configMaps}?watch=true&resourceVersion=${json.metadata.resourceVersion}`;
  await using watch = await Watch.open(world, path, "h2", { accept });
  await make(world, "a");
  await make(world, "b");
  const first = await watch.next();
  assert.equal(first?.object.kind, "Table");
  assert.equal(first?.object.columnDefinitions[0].name, "Name");
  assert.equal(first?.object.rows[0].cells[0], "a");
  assert.equal(first?.object.rows[0].object.kind, "PartialObjectMetadata");
  const second = await watch.next();
  assert.deepEqual(second?.object.columnDefinitions, []);
  assert.equal(second?.object.rows[0].cells[0], "b");
});

test("a watch that cannot begin is an answer of its own", async () => {
  await using world = await restWorld();
  const refused = [
    ["watch=true&resourceVersion=abc", 400],
    ["watch=true&labelSelector=a%20b%20c", 400],
    ["watch=true&sendInitialEvents=true", 422],
    ["watch=true&resourceVersionMatch=Exact", 422],
    ["watch=true&timeoutSeconds=soon", 400],
  ] as const;
  for (const [query, wanted] of refused) {
    const { status, json } = await world.ask(`${configMaps}?${query}`);
    assert.deepEqual([query, status], [query, wanted]);
    assert.equal(json.kind, "Status");
  }
  const bad = await world.ask("/api/v1/namespaces/default/nothings?watch=true");
  assert.equal(bad.status, 404);
});

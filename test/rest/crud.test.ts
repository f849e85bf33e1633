import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { freePort } from "../ports.ts";
import { protocols, restWorld } from "./harness.ts";

const configMaps = "/api/v1/namespaces/default/configmaps";
const named = (name: string, data = {}) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name },
  data,
});
const json = { "content-type": "application/json" };

for (const protocol of protocols) {
  test(`objects are made, read, changed and deleted over ${protocol}`, async () => {
    await using world = await restWorld();
    const ask = (path: string, method = "GET", body?: unknown, headers = {}) =>
      world.ask(path, { method, body, headers: { ...json, ...headers } }, protocol);
    const made = await ask(configMaps, "POST", named("one", { a: "1" }));
    assert.equal(made.status, 201, made.text);
    assert.equal(made.json.data.a, "1");
    assert.equal(made.headers["cache-control"], "no-cache, private");
    assert.match(String(made.headers["audit-id"]), /^[0-9a-f-]{36}$/);
    const twice = await ask(configMaps, "POST", named("one"));
    assert.equal(twice.status, 409);
    assert.equal(twice.json.reason, "AlreadyExists");
    const read = await ask(`${configMaps}/one`);
    assert.equal(read.status, 200);
    assert.deepEqual(read.json, made.json);
    const changed = await ask(`${configMaps}/one`, "PUT", named("one", { a: "2" }));
    assert.equal(changed.status, 200, changed.text);
    const patched = await ask(
      `${configMaps}/one`,
      "PATCH",
      { data: { b: "3" } },
      {
        "content-type": "application/merge-patch+json",
      },
    );
    assert.deepEqual(patched.json.data, { a: "2", b: "3" });
    const listed = await ask(configMaps);
    assert.equal(listed.json.kind, "ConfigMapList");
    assert.ok(
      listed.json.items.some(
        (each: { metadata: { name: string } }) => each.metadata.name === "one",
      ),
    );
    const gone = await ask(`${configMaps}/one`, "DELETE");
    assert.equal(gone.status, 200);
    assert.equal(gone.json.status, "Success");
    const missing = await ask(`${configMaps}/one`);
    assert.equal(missing.status, 404);
    assert.deepEqual(missing.json, {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: 'configmaps "one" not found',
      reason: "NotFound",
      details: { name: "one", kind: "configmaps" },
      code: 404,
    });
  });
}

for (const protocol of protocols) {
  test(`a collection deleted over ${protocol} is answered with the list that it was`, async () => {
    await using world = await restWorld();
    const ask = (path: string, method = "GET", body?: unknown) =>
      world.ask(path, { method, body, headers: json }, protocol);
    for (const name of ["a", "b"]) {
      const made = await ask(configMaps, "POST", named(name));
      // Every answer has the time (RFC 9110 section 6.6.1).
      assert.ok(!Number.isNaN(Date.parse(String(made.headers["date"]))));
    }
    const gone = await ask(configMaps, "DELETE");
    assert.equal(gone.status, 200, gone.text);
    assert.equal(gone.json.kind, "ConfigMapList");
    const names = gone.json.items.map(({ metadata }: { metadata: object }) => metadata);
    assert.deepEqual(
      names.map(({ name }: { name: string }) => name),
      ["a", "b"],
    );
    assert.match(gone.json.metadata.resourceVersion, /^[0-9]+$/);
    assert.deepEqual((await ask(configMaps)).json.items, []);
  });
}

test("an apiserver that cannot have its HTTPS port leaves no other listener behind", async () => {
  await using world = await restWorld();
  const taken = { https: { host: "127.0.0.1", port: world.port } };
  const port = await freePort();
  const listen = { host: "127.0.0.1", port };
  await assert.rejects(restWorld({ ...taken, listen }), /the address is in use/);
  const again = createServer();
  await new Promise<void>((resolve, reject) => {
    again.once("error", reject);
    again.listen(port, "127.0.0.1", resolve);
  });
  again.close();
});

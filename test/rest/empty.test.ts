/** Values that JSON can write and Kubernetes' types cannot hold. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { restWorld } from "./harness.ts";

const headers = { "content-type": "application/json" };
const merge = { "content-type": "application/merge-patch+json" };

test("a map without entries is none, and changes no generation", async () => {
  await using world = await restWorld();
  const deployments = "/apis/apps/v1/namespaces/default/deployments";
  const labels = { a: "b" };
  const template = (nodeSelector: object) => ({
    metadata: { labels, annotations: {} },
    spec: { containers: [{ name: "c", image: "i", resources: { limits: {} } }], nodeSelector },
  });
  const body = {
    metadata: { name: "d", annotations: {} },
    spec: { selector: { matchLabels: labels }, template: template({ a: "b" }) },
  };
  const made = await world.ask(deployments, { method: "POST", headers, body });
  assert.equal(made.status, 201, made.text);
  assert.equal("annotations" in made.json.metadata, false);
  assert.equal("annotations" in made.json.spec.template.metadata, false);
  assert.deepEqual(made.json.spec.template.spec.containers[0].resources, {});
  const patch = async (nodeSelector: unknown) => {
    const change = { spec: { template: { spec: { nodeSelector } } } };
    const ask = { method: "PATCH", headers: merge, body: change };
    const { json } = await world.ask(`${deployments}/d`, ask);
    return [json.metadata.generation, json.spec.template.spec.nodeSelector];
  };
  assert.deepEqual(await patch({ a: null }), [2, undefined]);
  assert.deepEqual(await patch(null), [2, undefined]);
  assert.deepEqual(await patch({}), [2, undefined]);
});

test("a time that is none is refused: a client could not read the list it is on", async () => {
  await using world = await restWorld();
  const events = "/api/v1/namespaces/default/events";
  const involvedObject = { namespace: "default" };
  const post = (metadata: object, firstTimestamp: unknown) =>
    world.ask(events, {
      method: "POST",
      headers,
      body: { metadata, involvedObject, firstTimestamp },
    });
  const refused = await post({ name: "a" }, "soon");
  assert.equal(refused.status, 400);
  assert.match(refused.json.message, /: parsing time "soon" as .*: cannot parse "soon" as "2006"$/);
  const born = await post({ name: "b", creationTimestamp: "never" }, null);
  assert.match(born.json.message, /: parsing time "never" as /);
  const made = await post({ name: "c" }, "2026-01-02T03:04:05Z");
  assert.deepEqual([made.status, made.json.firstTimestamp], [201, "2026-01-02T03:04:05Z"]);
  const empty = await post({ name: "d" }, "");
  assert.equal(empty.status, 400);
  assert.match(empty.json.message, /: parsing time "" as /);
});

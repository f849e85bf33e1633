/** Flow schemas say whether their priority level exists; one master writes it for all. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openLocalStore } from "../../ha/store/mod.ts";
import { keyBytes, objectKey } from "../../services/apiserver/storage/keys.ts";
import { builtInRegistry } from "../../services/kinds/mod.ts";
import { eventually } from "../patience.ts";
import { memoryRuntime } from "../store/memory-runtime.ts";
import { type RestWorld, restWorld } from "./harness.ts";

const group = "/apis/flowcontrol.apiserver.k8s.io/v1";
const apiVersion = "flowcontrol.apiserver.k8s.io/v1";

const schema = (level: string) => ({
  ...{ apiVersion, kind: "FlowSchema", metadata: { name: "mine" } },
  spec: { matchingPrecedence: 500, priorityLevelConfiguration: { name: level } },
});
const level = (name: string) => ({
  ...{ apiVersion, kind: "PriorityLevelConfiguration", metadata: { name } },
  spec: {
    type: "Limited",
    limited: { nominalConcurrencyShares: 5, limitResponse: { type: "Reject" } },
  },
});

async function condition(world: RestWorld, name: string) {
  const { json } = await world.ask(`${group}/flowschemas/${name}`);
  return json.status?.conditions?.find(({ type }: { type: string }) => type === "Dangling");
}

async function becomes(world: RestWorld, status: string, reason: string): Promise<string> {
  let message = "";
  await eventually(`it is ${status}`, async () => {
    const found = await condition(world, "mine");
    message = found?.message;
    return found?.status === status && found.reason === reason;
  });
  return message;
}

test("the condition Dangling follows the priority levels, written once for each change", async () => {
  await using store = await disposable();
  await using world = await restWorld({ store: store.store });
  await using second = await restWorld({ store: store.store, name: "master-1" });
  await eventually("all are found", async () => {
    const { json } = await world.ask(`${group}/flowschemas`);
    return json.items.every(({ status }: { status?: { conditions?: { status: string }[] } }) =>
      status?.conditions?.some((each) => each.status === "False"),
    );
  });
  const headers = { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" };
  const { json: table } = await second.ask(`${group}/flowschemas`, { headers });
  const at = table.columnDefinitions.findIndex(
    ({ name }: { name: string }) => name === "MissingPL",
  );
  assert.ok(table.rows.length > 5);
  for (const { cells } of table.rows) assert.equal(cells[at], "False");

  const made = await world.ask(`${group}/flowschemas`, { method: "POST", body: schema("gold") });
  assert.equal(made.status, 201, made.text);
  assert.equal(
    await becomes(second, "True", "NotFound"),
    'This FlowSchema references the PriorityLevelConfiguration object named "gold" but there is no ' +
      "such object",
  );
  const levels = `${group}/prioritylevelconfigurations`;
  const gold = await second.ask(levels, { method: "POST", body: level("gold") });
  assert.equal(gold.status, 201, gold.text);
  assert.equal(
    await becomes(world, "False", "Found"),
    'This FlowSchema references the PriorityLevelConfiguration object named "gold" and it exists',
  );
  const { json: written } = await world.ask(`${group}/flowschemas/mine`);
  const managers = written.metadata.managedFields.filter(
    ({ subresource }: { subresource?: string }) => subresource === "status",
  );
  assert.equal(managers[0].manager, "api-priority-and-fairness-config-consumer-v1");
  assert.match((await condition(world, "mine")).lastTransitionTime, /^\d{4}-.*Z$/);
  assert.equal((await world.ask(`${levels}/gold`, { method: "DELETE" })).status, 200);
  await becomes(world, "True", "NotFound");
  const resource = builtInRegistry().required(apiVersion, "FlowSchema");
  const { kvs } = await store.store.range({ key: keyBytes(objectKey(resource, "", "mine")) });
  assert.equal(kvs[0]?.version, 4, "created, and written once for each change");
});

async function disposable() {
  const store = await openLocalStore(memoryRuntime());
  return { store, [Symbol.asyncDispose]: () => store.close() };
}

/** New nodes get no pods before the node controller has seen them ready. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "../../proto/gen/core.ts";
import { make, world } from "./harness.ts";

const notReady = { key: "node.kubernetes.io/not-ready", effect: "NoSchedule" };
const own = { key: "own", value: "x", effect: "NoExecute" };
const node = (name: string, spec: object = {}) => {
  return { apiVersion: "v1", kind: "Node", metadata: { name }, spec };
};

test("a node that is made is not ready yet", async () => {
  await using w = await world({ taintNewNodes: true });
  const taints = async (name: string, spec?: object) =>
    ((await make(w.backend, node(name, spec))).document as Node).spec?.taints;
  assert.deepEqual(await taints("plain"), [notReady]);
  assert.deepEqual(await taints("own", { taints: [own] }), [own, notReady]);
  assert.deepEqual(await taints("has", { taints: [notReady] }), [notReady]);
});

test("a node that is made ready is given pods at once", async () => {
  await using w = await world({ taintNewNodes: true });
  const status = { conditions: [{ type: "Ready", status: "True" }] };
  const made = (await make(w.backend, { ...node("n"), status })).document as Node;
  assert.equal(made.spec?.taints, undefined);
});

test("where no node controller runs, nodes are as they are made", async () => {
  await using w = await world();
  const made = (await make(w.backend, node("n"))).document as Node;
  assert.equal(made.spec?.taints, undefined);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "../../ha/runtime/status-error.ts";
import { objectKey } from "../../services/apiserver/storage/keys.ts";
import { bindAll } from "../../services/apiserver/verbs/mod.ts";
import { adminCall, callAs, failure, kind, make, pod, type World, world } from "./harness.ts";

const bindings = (...names: string[]) => ({
  items: names.map((name) => ({
    metadata: { name, namespace: "default" },
    target: { kind: "Node", name: "n1" },
  })),
});

function nodeOf({ backend }: World, name: string): string | undefined {
  const key = objectKey(kind("pod"), "default", name);
  const spec = backend.cache.of(kind("pod")).get(key)?.document["spec"];
  return (spec as { nodeName?: string } | undefined)?.nodeName;
}

test("each binding of a batch has its own outcome, in order", async () => {
  await using space = await world();
  const { backend } = space;
  for (const name of ["a", "b"]) await make(backend, pod(name));
  const { items = [] } = await bindAll(
    ...([backend, adminCall(), kind("pod"), bindings("a", "missing", "b", "a")] as const),
  );
  assert.deepEqual(
    items.map(({ status, reason, code }) => [status, reason, code]),
    [
      ["Success", undefined, undefined],
      ["Failure", "NotFound", 404],
      ["Success", undefined, undefined],
      ["Failure", "Conflict", 409],
    ],
  );
  assert.match(items[3]?.message ?? "", /already assigned to node "n1"/);
  assert.deepEqual([nodeOf(space, "a"), nodeOf(space, "b")], ["n1", "n1"]);
});

test("a batch that is repeated under its request id is answered as it was", async () => {
  await using space = await world();
  const { backend } = space;
  for (const name of ["a", "b"]) await make(backend, pod(name));
  const batch = bindings("a", "b");
  const first = await bindAll(backend, adminCall({ requestId: "r1" }), kind("pod"), batch);
  const call = adminCall({ requestId: "r1", attempt: 2 });
  assert.deepEqual(await bindAll(backend, call, kind("pod"), batch), first);
  const another = await bindAll(backend, adminCall({ requestId: "r2" }), kind("pod"), batch);
  assert.deepEqual(
    another.items?.map(({ reason }) => reason),
    ["Conflict", "Conflict"],
  );
});

test("each binding is authorized, and a batch is bounded", async () => {
  await using space = await world();
  const { backend } = space;
  await make(backend, pod("a"));
  const call = callAs("nobody", "system:authenticated");
  const { items = [] } = await bindAll(backend, call, kind("pod"), bindings("a"));
  assert.equal(items[0]?.reason, "Forbidden");
  const many = bindings(...Array.from({ length: 501 }, (_, index) => `p${index}`));
  const error = await failure(bindAll(backend, adminCall(), kind("pod"), many));
  assert.equal(error.code, Code.invalidArgument);
  assert.match(error.message, /501 bindings, at most 500/);
});

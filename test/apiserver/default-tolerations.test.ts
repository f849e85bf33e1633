/** How long pods stay on lost nodes that do not say so themselves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../proto/gen/core.ts";
import { make, pod, world } from "./harness.ts";

const at = (name: string, tolerationSeconds: number) => ({
  key: `node.kubernetes.io/${name}`,
  operator: "Exists",
  effect: "NoExecute",
  tolerationSeconds,
});

test("pods tolerate lost nodes for the time that is set, unless they say otherwise", async () => {
  await using w = await world({ tolerationSeconds: { notReady: 300, unreachable: 60 } });
  const tolerationsOf = async (name: string, spec: object) =>
    ((await make(w.backend, pod(name, {}, spec))).document as Pod).spec?.tolerations;
  assert.deepEqual(await tolerationsOf("silent", {}), [
    at("not-ready", 300),
    at("unreachable", 60),
  ]);
  const own = at("unreachable", 5);
  assert.deepEqual(await tolerationsOf("one", { tolerations: [own] }), [own, at("not-ready", 300)]);
  const all = { operator: "Exists" };
  assert.deepEqual(await tolerationsOf("all", { tolerations: [all] }), [all]);
  const other = { key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoSchedule" };
  assert.equal((await tolerationsOf("other", { tolerations: [other] }))?.length, 3);
});

test("without times, pods tolerate what they say themselves", async () => {
  await using w = await world();
  const made = (await make(w.backend, pod("p"))).document as Pod;
  assert.equal(made.spec?.tolerations, undefined);
});

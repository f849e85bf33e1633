/** `trireme get all`: several resources by one word. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { get } from "../../services/cli/commands/objects.ts";
import { fails } from "../apiserver/harness.ts";
import { RealApi } from "../client/real-api.ts";
import { deploymentDocument } from "../kinds/documents.ts";
import { written } from "./written.ts";

const flags = { namespace: "default" };

test("get all shows a table for each resource that has objects", async () => {
  await using api = await RealApi.open();
  const client = api.client();
  const nothing = await written(() => get(client, "all", [], flags));
  assert.deepEqual(nothing, { out: "", err: "No resources found in default namespace.\n" });
  for (const kind of ["StatefulSet", "DaemonSet"]) {
    await client.dynamic.create(deploymentDocument(kind));
  }
  const { out } = await written(() => get(client, "all", [], flags));
  const [daemonSets = "", statefulSets = ""] = out.split("\n\n");
  assert.match(daemonSets, /^NAME +DESIRED +CURRENT .*\ndaemonset\.apps\/d +0 +0 /);
  assert.match(statefulSets, /^NAME +READY +AGE\nstatefulset\.apps\/d +0\/1 /);
  const names = await written(() => get(client, "all", [], { ...flags, output: "name" }));
  assert.equal(names.out, "daemonset.apps/d\nstatefulset.apps/d\n");
  const json = await written(() => get(client, "all", [], { ...flags, output: "json" }));
  const kinds = (JSON.parse(json.out) as { items: { kind: string }[] }).items;
  assert.deepEqual(
    kinds.map(({ kind }) => kind),
    ["DaemonSet", "StatefulSet"],
  );
});

test("get all takes no name", async () => {
  await using api = await RealApi.open();
  await fails(
    get(api.client(), "all", ["web"], flags),
    "invalidArgument",
    '"all" is several resources: it takes no name',
  );
});

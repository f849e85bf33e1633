import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { deploymentController } from "../../services/controllers/deployment/controller.ts";
import { garbageCollector } from "../../services/controllers/garbage-collector/controller.ts";
import { namespaceController } from "../../services/controllers/namespace/controller.ts";
import { replicaSetController } from "../../services/controllers/replica-set.ts";
import type { RealApi } from "../client/real-api.ts";
import { active, deployment, harness, runPods } from "./harness.ts";

const web = deployment(2);
const doomedDeployment = { ...web, metadata: { ...web.metadata, namespace: "doomed" } };

/** Status, reason and message of each condition, by type. */
const said = (api: RealApi) =>
  Object.fromEntries(
    (api.get("Namespace", "doomed")?.status?.conditions ?? []).map((each) => [
      each.type,
      [each.status, each.reason, each.message],
    ]),
  );

test("a deleted namespace is emptied of everything, then goes", async () => {
  const { api, client, clock, end } = await harness(
    namespaceController(2),
    deploymentController(1),
    replicaSetController(1),
    garbageCollector(2),
  );
  await client.namespaces.create({ metadata: { name: "doomed" } });
  await client.namespaces.create({ metadata: { name: "kept" } });
  await client.deployments.create(doomedDeployment);
  for (const namespace of ["doomed", "kept"]) {
    await client.configMaps.create({ metadata: { name: "c", namespace } });
  }
  await clock.until(() => active(api).length === 2, "pods");
  runPods(api, () => clock.wallMillis());
  const running = () => active(api).every(({ status }) => status?.phase === "Running");
  await clock.until(running, "running pods");
  await client.namespaces.delete("doomed");
  await clock.advance(3_000);
  // Pods take their time; what they stand on stays, and the namespace says what it waits for.
  assert.ok(api.get("ConfigMap", "doomed/c"));
  const { status } = api.get("Namespace", "doomed") ?? {};
  assert.equal(status?.phase, "Terminating");
  assert.deepEqual(said(api)["NamespaceContentRemaining"], [
    "True",
    "SomeResourcesRemain",
    "Some resources are remaining: pods. has 2 resource instances",
  ]);
  runPods(api, () => clock.wallMillis());
  await clock.until(() => !api.get("Namespace", "doomed"), "the namespace is gone");
  assert.equal(api.all("Deployment").length + api.all("ReplicaSet").length, 0);
  assert.deepEqual(
    api.all("ConfigMap").map(({ metadata }) => metadata?.namespace),
    ["kept"],
  );
  await end();
});

test("a namespace tells what holds it, of kinds known at run time too, and when that is over", async () => {
  const { api, client, clock, end } = await harness(namespaceController(2));
  const foo = { apiVersion: "ex.io/v1", kind: "Foo" };
  api.serve({ ...foo, plural: "foos", namespaced: true });
  await client.namespaces.create({ metadata: { name: "doomed" } });
  const held = { namespace: "doomed", finalizers: ["example.com/x"] };
  await client.configMaps.create({ metadata: { ...held, name: "a" } });
  await client.dynamic.create({ ...foo, metadata: { ...held, name: "b" } });
  await client.dynamic.create({ ...foo, metadata: { namespace: "doomed", name: "c" } });
  await client.namespaces.delete("doomed");
  await clock.advance(5_000);
  assert.deepEqual(said(api), {
    NamespaceDeletionDiscoveryFailure: [
      "False",
      "ResourcesDiscovered",
      "All resources successfully discovered",
    ],
    NamespaceDeletionGroupVersionParsingFailure: [
      "False",
      "ParsedGroupVersions",
      "All legacy kube types successfully parsed",
    ],
    NamespaceDeletionContentFailure: [
      "False",
      "ContentDeleted",
      "All content successfully deleted, may be waiting on finalization",
    ],
    NamespaceContentRemaining: [
      "True",
      "SomeResourcesRemain",
      "Some resources are remaining: configmaps. has 1 resource instances, " +
        "foos.ex.io has 1 resource instances",
    ],
    NamespaceFinalizersRemaining: [
      "True",
      "SomeFinalizersRemain",
      "Some content in the namespace has finalizers remaining: " +
        "example.com/x in 2 resource instances",
    ],
  });
  const writes = () => api.written.filter(({ kind }) => kind === "Namespace").length;
  const before = writes();
  await clock.advance(10_000);
  assert.equal(writes(), before, "the same is not said twice");
  await api.change("ConfigMap", "doomed/a", (each) => {
    each.metadata!.finalizers = [];
  });
  await client.dynamic.patch({ ...foo, resource: "foos" }, "b", "doomed", "merge", {
    metadata: { finalizers: null },
  });
  await clock.until(() => !api.get("Namespace", "doomed"), "the namespace goes");
  await end();
});

test("a kind that cannot be emptied, and a failed discovery, are told; others are emptied", async () => {
  const { api, client, clock, end } = await harness(namespaceController(2));
  await client.namespaces.create({ metadata: { name: "doomed" } });
  await client.secrets.create({ metadata: { namespace: "doomed", name: "a" } });
  await client.configMaps.create({ metadata: { namespace: "doomed", name: "b" } });
  api.intercept = (verb, kind) => {
    if (verb.startsWith("delete") && kind === "Secret") {
      throw new StatusError(Code.permissionDenied, "secrets are locked");
    }
  };
  await client.namespaces.delete("doomed");
  await clock.advance(5_000);
  assert.deepEqual(said(api)["NamespaceDeletionContentFailure"], [
    "True",
    "ContentDeletionFailed",
    "Failed to delete all resource types, 1 remaining: secrets.: secrets are locked",
  ]);
  assert.equal(api.all("ConfigMap").length, 0);
  api.intercept = undefined;
  api.discoveryError = new StatusError(Code.unavailable, "no discovery today");
  await clock.advance(120_000);
  assert.deepEqual(said(api)["NamespaceDeletionDiscoveryFailure"], [
    "True",
    "DiscoveryFailed",
    "no discovery today",
  ]);
  api.discoveryError = undefined;
  await clock.until(() => !api.get("Namespace", "doomed"), "the namespace goes");
  await end();
});

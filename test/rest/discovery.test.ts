import assert from "node:assert/strict";
import { test } from "node:test";
import { byVersion } from "../../services/apiserver/verbs/groups.ts";
import { builtInRegistry, defineResource } from "../../services/kinds/mod.ts";
import { restWorld } from "./harness.ts";

const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const kubectlAccept = [
  aggregated,
  "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
  "application/json",
].join(",");

interface Named {
  name: string;
}

test("classic discovery lists groups, versions and resources as upstream does", async () => {
  await using world = await restWorld();
  const versions = await world.ask("/api");
  assert.deepEqual(versions.json.versions, ["v1"]);
  const groups = await world.ask("/apis");
  assert.equal(groups.json.kind, "APIGroupList");
  const apps = groups.json.groups.find(({ name }: Named) => name === "apps");
  assert.deepEqual(apps.preferredVersion, { groupVersion: "apps/v1", version: "v1" });
  const one = await world.ask("/apis/apps");
  assert.equal(one.json.kind, "APIGroup");
  assert.deepEqual(one.json.versions, apps.versions);
  const core = await world.ask("/api/v1");
  assert.equal(core.json.groupVersion, "v1");
  const pods = core.json.resources.find(({ name }: Named) => name === "pods");
  assert.deepEqual(pods, {
    name: "pods",
    singularName: "pod",
    namespaced: true,
    kind: "Pod",
    verbs: ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    shortNames: ["po"],
    categories: ["all"],
  });
  const eviction = core.json.resources.find(({ name }: Named) => name === "pods/eviction");
  assert.deepEqual(eviction, {
    name: "pods/eviction",
    singularName: "",
    namespaced: true,
    group: "policy",
    version: "v1",
    kind: "Eviction",
    verbs: ["create"],
  });
  const deployments = await world.ask("/apis/apps/v1");
  const names = deployments.json.resources.map(({ name }: Named) => name);
  assert.ok(names.includes("deployments/scale") && names.includes("deployments/status"));
});

test("aggregated discovery has everything in two documents, with an ETag", async () => {
  await using world = await restWorld();
  for (const path of ["/api", "/apis"]) {
    const { status, headers, text } = await world.ask(path, { headers: { accept: kubectlAccept } });
    assert.equal(status, 200);
    assert.equal(headers["content-type"], aggregated);
    const document = JSON.parse(text);
    assert.equal(document.kind, "APIGroupDiscoveryList");
    assert.equal(document.apiVersion, "apidiscovery.k8s.io/v2");
    const again = await world.ask(path, {
      headers: { accept: kubectlAccept, "if-none-match": String(headers["etag"]) },
    });
    assert.equal(again.status, 304);
    assert.equal(again.text, "");
  }
  const { text } = await world.ask("/apis", { headers: { accept: aggregated } });
  const apps = JSON.parse(text).items.find(
    ({ metadata }: { metadata: Named }) => metadata.name === "apps",
  );
  const [version] = apps.versions;
  assert.equal(version.freshness, "Current");
  const deployments = version.resources.find(
    (each: { resource: string }) => each.resource === "deployments",
  );
  assert.equal(deployments.scope, "Namespaced");
  assert.equal(deployments.singularResource, "deployment");
  assert.deepEqual(deployments.subresources, [
    {
      subresource: "scale",
      responseKind: { group: "autoscaling", version: "v1", kind: "Scale" },
      verbs: ["get", "patch", "update"],
    },
    {
      subresource: "status",
      responseKind: { group: "apps", version: "v1", kind: "Deployment" },
      verbs: ["get", "patch", "update"],
    },
  ]);
});

test("a resource is found as soon as it is registered, and gone as soon as it is not", async () => {
  const registry = builtInRegistry();
  await using world = await restWorld({ registry });
  const before = await world.ask("/apis", { headers: { accept: aggregated } });
  assert.equal((await world.ask("/apis/example.com/v1")).status, 404);
  const widget = defineResource({
    ...{ group: "example.com", version: "v1", kind: "Widget", plural: "widgets" },
  });
  registry.add(widget);
  const after = await world.ask("/apis", { headers: { accept: aggregated } });
  assert.notEqual(after.headers["etag"], before.headers["etag"]);
  const groups = JSON.parse(after.text).items.map(
    ({ metadata }: { metadata: Named }) => metadata.name,
  );
  assert.deepEqual(groups.slice(-3), ["example.com", "node.trireme.io", "metrics.k8s.io"]);
  const listed = await world.ask("/apis/example.com/v1/namespaces/default/widgets");
  assert.equal(listed.json.kind, "WidgetList");
  registry.remove(widget);
  assert.equal((await world.ask("/apis/example.com/v1")).status, 404);
  assert.equal((await world.ask("/apis/example.com/v1/widgets")).text, "404 page not found\n");
});

test("versions come in Kubernetes' order", () => {
  const versions = ["v1alpha1", "foo", "v2", "v1", "v10beta2", "v2beta1", "v10", "bar", "v1beta2"];
  assert.deepEqual(versions.sort(byVersion), [
    ...["v10", "v2", "v1", "v10beta2", "v2beta1", "v1beta2", "v1alpha1", "bar", "foo"],
  ]);
});

test("health, version and the paths of the root", async () => {
  await using world = await restWorld();
  for (const path of ["/livez", "/readyz", "/healthz", "/livez/ping", "/readyz/etcd"]) {
    // As upstream's system:public-info-viewer, which has no paths below these.
    const as = path.lastIndexOf("/") === 0 ? null : world.admin;
    const { status, text } = await world.ask(path, { as });
    assert.deepEqual({ path, status, text }, { path, status: 200, text: "ok" });
  }
  const verbose = await world.ask("/readyz?verbose&exclude=etcd");
  assert.match(verbose.text, /^\[\+\]ping ok$/m);
  assert.match(verbose.text, /^\[\+\]etcd excluded: ok$/m);
  assert.match(verbose.text, /readyz check passed\n$/);
  const version = await world.ask("/version", { as: null });
  assert.match(version.json.gitVersion, /^v1\.\d+\.\d+\+trireme/);
  for (const field of [
    "major",
    "minor",
    "gitCommit",
    "gitTreeState",
    "buildDate",
    "goVersion",
    "compiler",
    "platform",
  ]) {
    assert.equal(typeof version.json[field], "string", field);
  }
  const root = await world.ask("/");
  for (const path of ["/api", "/api/v1", "/apis/apps/v1", "/livez", "/version"]) {
    assert.ok(root.json.paths.includes(path), path);
  }
});

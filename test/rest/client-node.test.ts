/** Kubernetes' own client for Node, unchanged. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AppsV1Api,
  CoreV1Api,
  KubeConfig,
  KubernetesObjectApi,
  makeInformer,
  PatchStrategy,
  setHeaderOptions,
  type V1ConfigMap,
  VersionApi,
} from "@kubernetes/client-node";
import { type RestWorld, restWorld } from "./harness.ts";
import { kubeconfigOf } from "./kubeconfig.ts";

function configOf(world: RestWorld): KubeConfig {
  const config = new KubeConfig();
  config.loadFromString(kubeconfigOf(world));
  return config;
}

const namespace = "default";

test("typed calls: create, read, replace, patch, scale, delete", async () => {
  await using world = await restWorld();
  const config = configOf(world);
  const core = config.makeApiClient(CoreV1Api);
  const { gitVersion } = await config.makeApiClient(VersionApi).getCode();
  assert.match(gitVersion, /trireme/);
  const made = await core.createNamespacedConfigMap({
    namespace,
    body: { metadata: { name: "a" }, data: { k: "1" } },
  });
  made.data = { k: "2" };
  const replaced = await core.replaceNamespacedConfigMap({ namespace, name: "a", body: made });
  assert.notEqual(replaced.metadata?.resourceVersion, made.metadata?.resourceVersion);
  const patched = await core.patchNamespacedConfigMap(
    { namespace, name: "a", body: { data: { j: "3" } } },
    setHeaderOptions("Content-Type", PatchStrategy.MergePatch),
  );
  assert.deepEqual(patched.data, { k: "2", j: "3" });
  const { items } = await core.listNamespacedConfigMap({ namespace, limit: 1 });
  assert.equal(items.length, 1);
  await core.deleteNamespacedConfigMap({ namespace, name: "a" });
  await assert.rejects(core.readNamespacedConfigMap({ namespace, name: "a" }), { code: 404 });
  const apps = config.makeApiClient(AppsV1Api);
  const labels = { app: "web" };
  await apps.createNamespacedDeployment({
    namespace,
    body: {
      metadata: { name: "web" },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: "web", image: "nginx" }] } },
      },
    },
  });
  const scale = await apps.readNamespacedDeploymentScale({ namespace, name: "web" });
  assert.equal(scale.spec?.replicas, 1);
  scale.spec = { replicas: 4 };
  await apps.replaceNamespacedDeploymentScale({ namespace, name: "web", body: scale });
  const after = await apps.patchNamespacedDeploymentScale(
    { namespace, name: "web", body: { spec: { replicas: 5 } } },
    setHeaderOptions("Content-Type", PatchStrategy.MergePatch),
  );
  assert.equal(after.spec?.replicas, 5);
  assert.equal((await apps.readNamespacedDeployment({ namespace, name: "web" })).spec?.replicas, 5);
});

test("the client for objects of any kind finds its way by discovery", async () => {
  await using world = await restWorld();
  const objects = KubernetesObjectApi.makeApiClient(configOf(world));
  const spec = { apiVersion: "v1", kind: "Secret", metadata: { name: "s", namespace } };
  await objects.create({ ...spec, stringData: { k: "v" } } as typeof spec);
  const read = await objects.read<typeof spec & { data: Record<string, string> }>(spec);
  assert.deepEqual(read.data, { k: "dg==" });
  await objects.delete(spec);
});

test("an informer lists, then watches", async () => {
  await using world = await restWorld();
  const config = configOf(world);
  const core = config.makeApiClient(CoreV1Api);
  const make = (name: string) =>
    core.createNamespacedConfigMap({ namespace, body: { metadata: { name } } });
  await make("a");
  const path = `/api/v1/namespaces/${namespace}/configmaps`;
  const informer = makeInformer<V1ConfigMap>(config, path, () =>
    core.listNamespacedConfigMap({ namespace }),
  );
  const seen: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  informer.on("add", ({ metadata }) => {
    seen.push(`+${metadata?.name}`);
    if (metadata?.name === "a") void make("b");
    if (metadata?.name === "b") void core.deleteNamespacedConfigMap({ namespace, name: "a" });
  });
  informer.on("delete", ({ metadata }) => {
    seen.push(`-${metadata?.name}`);
    resolve();
  });
  await informer.start();
  await promise;
  await informer.stop();
  assert.deepEqual(seen, ["+a", "+b", "-a"]);
});

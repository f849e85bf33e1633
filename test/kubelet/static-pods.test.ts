import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { Pod } from "../../proto/gen/core.ts";
import { createProcessRuntime } from "../../services/kubelet/mod.ts";
import { podOfManifest } from "../../services/kubelet/static/manifest.ts";
import { eventually } from "../patience.ts";
import { fakeCluster, startKubelet } from "./fake-cluster.ts";
import { silent } from "./support.ts";

const manifest = (name: string, seconds = 1000) => `
apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  labels: { app: ${name} }
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: i
    command: [sleep, "${seconds}"]
`;

describe("manifests of static pods", () => {
  test("a pod gets the node's name, a uid of its content, annotations and defaults", () => {
    const { pod, unknown } = podOfManifest(manifest("web"), "/m/web.yaml", "node-1");
    const { name, namespace, uid = "", annotations, labels } = pod.metadata ?? {};
    assert.equal(name, "web-node-1");
    assert.equal(namespace, "default");
    assert.match(uid, /^[0-9a-f]{32}$/);
    assert.deepEqual(annotations, {
      "kubernetes.io/config.hash": uid,
      "kubernetes.io/config.source": "file",
    });
    assert.deepEqual(labels, { app: "web" });
    assert.equal(pod.spec?.nodeName, "node-1");
    assert.deepEqual(pod.spec?.tolerations, [{ operator: "Exists", effect: "NoExecute" }]);
    assert.equal(pod.spec?.restartPolicy, "Always");
    assert.deepEqual(unknown, []);
    const uidOf = (text: string, path: string, node: string) =>
      podOfManifest(text, path, node).pod.metadata?.uid;
    assert.equal(uidOf(manifest("web"), "/m/web.yaml", "node-1"), uid);
    assert.notEqual(uidOf(manifest("web", 9), "/m/web.yaml", "node-1"), uid);
    assert.notEqual(uidOf(manifest("web"), "/m/other.yaml", "node-1"), uid);
    assert.notEqual(uidOf(manifest("web"), "/m/web.yaml", "node-2"), uid);
    const json = JSON.stringify({ ...pod, metadata: { name: "own", uid: "given" } });
    assert.equal(podOfManifest(json, "/m/own.json", "n").pod.metadata?.uid, "given");
  });

  test("what is no pod is refused with its field and reason", () => {
    const refused = (text: string) => {
      try {
        podOfManifest(text, "/m/x", "n");
      } catch (error) {
        return (error as Error).message;
      }
      return assert.fail("it was taken");
    };
    assert.equal(refused(""), "it holds 0 documents, and a static pod is one");
    assert.match(refused(`${manifest("a")}\n---\n${manifest("b")}`), /holds 2 documents/);
    assert.equal(refused("apiVersion: v1\nkind: Service\n"), "it is v1, Service, not v1, Pod");
    assert.match(refused("apiVersion: v1\nkind: Pod\nspec: {}\n"), /^metadata.name: Required/);
    assert.match(refused(manifest("UPPER")), /^invalid pod: metadata.name/);
    assert.match(refused(manifest("a").replace("name: c", "name: C_")), /containers\[0\].name/);
    assert.match(refused("a: [1"), /\S/);
    const { unknown } = podOfManifest(`${manifest("a")}\nmore: 1`, "/m/x", "n");
    assert.equal(unknown.length, 1);
  });
});

test("static pods run, and their mirrors show them and come back", async () => {
  const dir = await mkdtemp(join(tmpdir(), "trireme-static-"));
  const manifests = join(dir, "manifests");
  await mkdir(manifests);
  const file = join(manifests, "web.yaml");
  await writeFile(file, manifest("web"));
  await writeFile(join(manifests, ".hidden"), manifest("hidden"));
  const { pods, client } = fakeCluster();
  const more = { manifests: { path: manifests, checkMillis: 20_000 } };
  let kubelet = startKubelet(client, dir, more);
  await kubelet.runtime.load();
  const mirror = () => pods.objects.get("web-n1");
  const runs = () => mirror()?.status?.phase === "Running";
  const containerId = () => mirror()?.status?.containerStatuses?.[0]?.containerID;
  try {
    pods.put({
      metadata: {
        ...{ name: "stale-n1", namespace: "default", uid: "stale" },
        annotations: { "kubernetes.io/config.mirror": "gone" },
      },
      spec: { nodeName: "n1", containers: [] },
    });
    await kubelet.start();
    await eventually("the mirror shows it running", runs);
    const own = kubelet.pod("default", "web-n1");
    const { uid, annotations = {}, ownerReferences } = mirror()?.metadata ?? {};
    assert.notEqual(own?.metadata?.uid, uid);
    assert.equal(annotations["kubernetes.io/config.mirror"], own?.metadata?.uid);
    assert.equal(annotations["kubernetes.io/config.hash"], own?.metadata?.uid);
    assert.equal(annotations["kubernetes.io/config.source"], "file");
    assert.match(annotations["kubernetes.io/config.seen"] ?? "", /^20\d\d-.*Z$/);
    const owner = { apiVersion: "v1", kind: "Node", name: "n1", uid: "api-1", controller: true };
    assert.deepEqual(ownerReferences, [owner]);
    assert.equal(own?.status?.phase, "Running");
    assert.deepEqual(
      kubelet.pods().map(({ metadata }) => metadata?.uid),
      [own?.metadata?.uid],
    );
    await eventually("a mirror without its pod is deleted", () => !pods.objects.has("stale-n1"));

    const id = containerId();
    pods.remove("web-n1");
    await eventually("a deleted mirror comes back", runs);
    assert.equal(containerId(), id, "the pod ran on");
    const before = mirror();
    pods.put({
      ...(before as Pod),
      metadata: { ...before?.metadata, deletionTimestamp: "x", deletionGracePeriodSeconds: 30 },
    });
    const isNew = () => mirror()?.metadata?.uid !== before?.metadata?.uid && runs();
    await eventually("one that is being deleted is replaced", isNew);
    assert.equal(containerId(), id);

    await kubelet.close();
    kubelet = startKubelet(client, dir, more);
    await kubelet.runtime.load();
    await kubelet.start();
    await eventually("a new kubelet shows it running", runs);
    assert.equal(containerId(), id, "it was not restarted");

    await writeFile(file, "half: [a");
    await writeFile(join(manifests, "other.yaml"), manifest("other"));
    await eventually("another file is taken", () => pods.objects.has("other-n1"));
    assert.equal(mirror()?.metadata?.deletionTimestamp, undefined, "half a file ends nothing");
    assert.equal(containerId(), id);

    await writeFile(file, manifest("web", 2000));
    await eventually("a changed manifest replaces the pod", () => runs() && containerId() !== id);
    assert.equal(kubelet.runtime.sandboxes().length, 2);

    await rm(file);
    await eventually(
      "a manifest that is gone takes its mirror along",
      () => mirror() === undefined,
    );
    await eventually("and its containers", () => kubelet.runtime.sandboxes().length === 1);
  } finally {
    await kubelet.close();
    const cleaner = createProcessRuntime({ root: join(dir, "runtime"), log: silent });
    await cleaner.load();
    for (const sandbox of cleaner.sandboxes()) await cleaner.removeSandbox(sandbox.uid);
    await cleaner.close();
    await rm(dir, { recursive: true, force: true });
  }
});

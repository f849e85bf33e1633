import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Node, Pod } from "../../proto/gen/core.ts";
import { createProcessRuntime } from "../../services/kubelet/mod.ts";
import { eventually } from "../patience.ts";
import { fakeCluster, startKubelet } from "./fake-cluster.ts";
import { silent } from "./support.ts";

const podNamed = (name: string, command: string[], more: Pod["spec"] = {}): Pod => ({
  metadata: { name, namespace: "d", uid: `uid-${name}` },
  spec: {
    nodeName: "n1",
    restartPolicy: "Always",
    terminationGracePeriodSeconds: 1,
    containers: [{ name: "c", image: "i", command }],
    ...more,
  },
});

/** Ends what a failed run has left; a closed runtime only lets go. */
async function clean(dir: string): Promise<void> {
  const cleaner = createProcessRuntime({ root: join(dir, "runtime"), log: silent });
  await cleaner.load();
  for (const sandbox of cleaner.sandboxes()) await cleaner.removeSandbox(sandbox.uid);
  await cleaner.close();
  await rm(dir, { recursive: true, force: true });
}

test("a node: registration, address, run, restart of the kubelet, deletion, orphans", async () => {
  const dir = await mkdtemp(join(tmpdir(), "trireme-kubelet-"));
  const { pods, nodes, client } = fakeCluster();
  const phase = (name: string) => pods.objects.get(name)?.status?.phase;
  let kubelet = startKubelet(client, dir);
  await kubelet.runtime.load();
  try {
    await kubelet.start();
    assert.equal(nodes.objects.get("n1")?.metadata?.labels?.["kubernetes.io/os"], "linux");

    pods.put(podNamed("web", ["sh", "-c", 'echo "$POD_IP $(POD_NAME)"; exec sleep 1000']));
    await eventually("it waits for an address", () => phase("web") === "Pending");
    nodes.put({ ...(nodes.objects.get("n1") as Node), spec: { podCIDR: "127.64.5.0/24" } });
    await eventually("web runs", () => phase("web") === "Running");
    const web = pods.objects.get("web");
    assert.equal(web?.status?.podIP, "127.64.5.1");
    const id = web?.status?.containerStatuses?.[0]?.containerID;
    assert.match(id ?? "", /^process:\/\/[0-9a-f]{64}$/);

    pods.put(
      podNamed("greedy", ["true"], {
        containers: [{ name: "c", command: ["true"], resources: { requests: { cpu: "2" } } }],
      }),
    );
    await eventually("greedy is refused", () => phase("greedy") === "Failed");
    assert.equal(pods.objects.get("greedy")?.status?.reason, "OutOfcpu");

    pods.put(podNamed("lost", ["sleep", "1000"]));
    await eventually("lost runs", () => phase("lost") === "Running");
    assert.equal(pods.objects.get("lost")?.status?.podIP, "127.64.5.2");

    await kubelet.close();
    pods.remove("lost");
    kubelet = startKubelet(client, dir);
    await kubelet.runtime.load();
    await kubelet.start();
    await eventually("the orphan is ended", () => kubelet.runtime.sandboxes().length === 1);
    assert.equal(phase("web"), "Running");
    const again = pods.objects.get("web");
    assert.equal(again?.status?.containerStatuses?.[0]?.containerID, id, "it was not restarted");

    pods.put({
      ...(again as Pod),
      metadata: { ...again?.metadata, deletionTimestamp: "x", deletionGracePeriodSeconds: 1 },
    });
    await eventually("web is gone", () => !pods.objects.has("web"));
    await eventually("nothing is left", () => kubelet.runtime.sandboxes().length === 0);
    assert.deepEqual(kubelet.runtime.containers(), []);
  } finally {
    await kubelet.close();
    await clean(dir);
  }
});

test("pods get an address of each range, and keep it over a restart of the kubelet", async () => {
  const dir = await mkdtemp(join(tmpdir(), "trireme-kubelet-"));
  const { pods, nodes, client } = fakeCluster();
  const podIPs = (name: string) => pods.objects.get(name)?.status?.podIPs?.map(({ ip }) => ip);
  const answers = async () => true;
  let kubelet = startKubelet(client, dir, { answers });
  await kubelet.runtime.load();
  try {
    const podCIDRs = ["127.64.6.0/24", "fd00:64:0:6::/64"];
    nodes.put({ metadata: { name: "n1" }, spec: { podCIDR: podCIDRs[0], podCIDRs } });
    await kubelet.start();
    pods.put(podNamed("web", ["sleep", "1000"]));
    await eventually("it has both", () => podIPs("web")?.length === 2);
    assert.deepEqual(podIPs("web"), ["127.64.6.1", "fd00:64:0:6::1"]);
    await kubelet.close();
    kubelet = startKubelet(client, dir, { answers });
    await kubelet.runtime.load();
    await kubelet.start();
    pods.put(podNamed("other", ["sleep", "1000"]));
    await eventually("it has both", () => podIPs("other")?.length === 2);
    assert.deepEqual(podIPs("other"), ["127.64.6.2", "fd00:64:0:6::2"]);
    assert.deepEqual(podIPs("web"), ["127.64.6.1", "fd00:64:0:6::1"]);
  } finally {
    await kubelet.close();
    await clean(dir);
  }
});

async function cutOff(restarted: boolean): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "trireme-kubelet-"));
  const { pods, nodes, network, client } = fakeCluster();
  let kubelet = startKubelet(client, dir);
  await kubelet.runtime.load();
  const running = () =>
    kubelet.runtime
      .containers()
      .filter(({ state }) => state === "running")
      .map(({ podUid }) => podUid)
      .sort();
  try {
    nodes.put({ metadata: { name: "n1" }, spec: { podCIDR: "127.64.7.0/24" } });
    await kubelet.start();
    for (const name of ["deleted", "evicted", "kept", "moved-0"]) {
      pods.put(podNamed(name, ["sleep", "1000"]));
    }
    const beats = join(dir, "beats");
    // Takes all of its grace to end; two at a time write by turns.
    const beating = `trap "" TERM; while echo $PPID >>${beats}; do sleep 0.05; done`;
    const alone = (name: string, uid: string) => {
      const pod = podNamed(name, ["sh", "-c", beating], { restartPolicy: "Never" });
      return { ...pod, metadata: { ...pod.metadata, uid } };
    };
    pods.put(alone("back-0", "uid-back-0"));
    const runs = (name: string) => pods.objects.get(name)?.status?.phase === "Running";
    await eventually("all run", () => [...pods.objects.keys()].every(runs));
    await eventually("it writes", () => existsSync(beats));
    const kept = pods.objects.get("kept")?.status?.containerStatuses?.[0]?.containerID;

    network.cut();
    // Deleted by force; told to go; and, under the same name, made anew on another node.
    pods.remove("deleted");
    const evicted = pods.objects.get("evicted") as Pod;
    const deletion = { deletionTimestamp: "x", deletionGracePeriodSeconds: 1 };
    pods.put({ ...evicted, metadata: { ...evicted.metadata, ...deletion } });
    pods.remove("moved-0");
    const elsewhere = podNamed("moved-0", ["sleep", "1000"], { nodeName: "n2" });
    const moved = pods.put({ ...elsewhere, metadata: { ...elsewhere.metadata, uid: "another" } });
    pods.remove("back-0");
    pods.put(alone("back-0", "uid-successor"));
    let started: Promise<void> | undefined;
    if (restarted) {
      await kubelet.close();
      kubelet = startKubelet(client, dir);
      await kubelet.runtime.load();
      started = kubelet.start();
    }
    assert.equal(running().length, 5, "a cut alone ends nothing");

    network.heal();
    await started;
    const left = "uid-kept,uid-successor";
    await eventually("the others are ended", () => running().join() === left);
    await eventually("it is told", () => !pods.objects.has("evicted"));
    await eventually("nothing else is left", () => kubelet.runtime.sandboxes().length === 2);
    await eventually("the successor runs", () => runs("back-0"));
    const begun = () => {
      const lines = readFileSync(beats, "utf8").trim().split("\n");
      return lines.filter((pid, i) => pid !== lines[i - 1]);
    };
    await eventually("it writes", () => begun().length > 1);
    assert.equal(begun().length, 2, "it waited for its predecessor");
    assert.deepEqual(pods.objects.get("moved-0"), moved, "that of the other node is not touched");
    const after = pods.objects.get("kept")?.status?.containerStatuses?.[0];
    assert.deepEqual([after?.containerID, after?.restartCount], [kept, 0]);
  } finally {
    await kubelet.close();
    await clean(dir);
  }
}

test("a node that was cut off ends what was replaced meanwhile, and only that", () =>
  cutOff(false));

test("so does one whose kubelet was started anew while it was cut off", () => cutOff(true));

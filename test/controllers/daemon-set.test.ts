import assert from "node:assert/strict";
import { test } from "node:test";
import type { DaemonSet, DaemonSetSpec } from "../../proto/gen/apps.ts";
import type { Pod } from "../../proto/gen/core.ts";
import { keyOf } from "../../services/client/mod.ts";
import { daemonSetController } from "../../services/controllers/daemon-set/controller.ts";
import { nodeOf } from "../../services/controllers/daemon-set/daemon-pod.ts";
import type { RealApi } from "../client/real-api.ts";
import { active, harness, newTemplate, node } from "./harness.ts";

const set = (spec: DaemonSetSpec = {}): DaemonSet => ({
  metadata: { name: "agent", namespace: "default" },
  spec: {
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: { containers: [{ name: "c", image: "web:1" }] },
    },
    ...spec,
  },
});

const nodesOf = (api: RealApi) => active(api).map(nodeOf).sort();
const statusOf = (api: RealApi) => api.get("DaemonSet", "default/agent")?.status ?? {};
const images = (api: RealApi) =>
  active(api)
    .map(({ spec }) => spec?.containers?.[0]?.image)
    .sort();
const change = (api: RealApi, edit: (spec: DaemonSetSpec) => void) =>
  api.change("DaemonSet", "default/agent", (each) => edit(each.spec!));

type World = Awaited<ReturnType<typeof harness>>;

async function world(...names: string[]): Promise<World> {
  const made = await harness(daemonSetController(2));
  for (const name of names) await made.client.nodes.create(node(name));
  return made;
}

/** The scheduler binds, kubelets run and end pods, until nothing changes any more. */
async function run({ api, clock }: World, mayRun: (pod: Pod) => boolean = () => true) {
  for (let round = 0; round < 8; round++) {
    for (const pod of api.all("Pod")) {
      if (pod.metadata?.deletionTimestamp) {
        void api.finishPod(keyOf(pod));
      } else if (!pod.status?.conditions?.length && mayRun(pod)) {
        const lastTransitionTime = new Date(clock.wallMillis()).toISOString();
        void api.change("Pod", keyOf(pod), (each) => {
          each.spec!.nodeName ??= nodeOf(pod) as string;
          const ready = { type: "Ready", status: "True", lastTransitionTime };
          each.status = { phase: "Running", conditions: [ready] };
        });
      }
    }
    await clock.advance(200);
  }
}

test("every node gets one pod, nodes that come later too", async () => {
  const made = await world("n1", "n2");
  const { api, client, clock, end } = made;
  await client.daemonSets.create(set());
  await clock.advance(100);
  assert.deepEqual(nodesOf(api), ["n1", "n2"]);
  const { spec, metadata } = active(api)[0] ?? {};
  assert.ok(
    spec?.tolerations?.some(
      ({ key, effect }) => key === "node.kubernetes.io/unreachable" && effect === "NoExecute",
    ),
  );
  assert.equal(spec?.nodeName ?? "", "");
  assert.equal(metadata?.labels?.["pod-template-generation"], "1");
  await run(made);
  await client.nodes.create(node("n3"));
  await run(made);
  assert.deepEqual(nodesOf(api), ["n1", "n2", "n3"]);
  const { desiredNumberScheduled, currentNumberScheduled, numberReady } = statusOf(api);
  assert.deepEqual([desiredNumberScheduled, currentNumberScheduled, numberReady], [3, 3, 3]);
  assert.equal(statusOf(api).numberAvailable, 3);
  assert.equal(statusOf(api).updatedNumberScheduled, 3);
  await client.pods.delete(active(api)[0]?.metadata?.name ?? "", "default");
  await run(made);
  assert.deepEqual(nodesOf(api), ["n1", "n2", "n3"]);
  await end();
});

test("labels and taints decide which nodes want it", async () => {
  const made = await world("plain");
  const { api, client, clock, end } = made;
  const gpu = node("gpu");
  await client.nodes.create({ ...gpu, metadata: { name: "gpu", labels: { kind: "gpu" } } });
  const taint = { key: "own", value: "x", effect: "NoSchedule" };
  await client.nodes.create({
    ...node("tainted"),
    metadata: { name: "tainted", labels: { kind: "gpu" } },
    spec: { taints: [taint, { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" }] },
  });
  const base = set().spec?.template;
  await client.daemonSets.create(
    set({ template: { ...base, spec: { ...base?.spec, nodeSelector: { kind: "gpu" } } } }),
  );
  await clock.advance(100);
  assert.deepEqual(nodesOf(api), ["gpu"]);
  await api.change("Node", "tainted", (each) => {
    each.spec!.taints = (each.spec!.taints ?? []).slice(1);
  });
  await clock.advance(100);
  assert.deepEqual(nodesOf(api), ["gpu", "tainted"]);
  await api.change("Node", "gpu", (each) => {
    each.metadata!.labels = {};
  });
  await clock.advance(100);
  assert.deepEqual(nodesOf(api), ["tainted"]);
  // A taint that only keeps new pods away leaves the old one.
  await api.change("Node", "tainted", (each) => {
    each.spec!.taints = [taint];
  });
  await clock.advance(100);
  assert.deepEqual(nodesOf(api), ["tainted"]);
  assert.equal(statusOf(api).numberMisscheduled, 1);
  await end();
});

test("a rollout replaces one node's pod at a time, and stops at one that is not well", async () => {
  const made = await world("n1", "n2", "n3");
  const { api, client, end } = made;
  await client.daemonSets.create(set());
  await run(made);
  await change(api, (spec) => {
    spec.template = newTemplate;
  });
  await run(made, (pod) => pod.spec?.containers?.[0]?.image === "web:1");
  assert.deepEqual(images(api), ["web:1", "web:1", "web:2"]);
  assert.equal(statusOf(api).numberUnavailable, 1);
  await run(made);
  await run(made);
  assert.deepEqual(images(api), ["web:2", "web:2", "web:2"]);
  assert.equal(statusOf(api).updatedNumberScheduled, 3);
  const revisions = api.all("ControllerRevision").map(({ revision }) => Number(revision));
  assert.deepEqual(revisions.sort(), [1, 2]);
  await end();
});

test("with a surge the new pod comes first; with OnDelete none is replaced", async () => {
  const made = await world("n1", "n2");
  const { api, client, end } = made;
  const rollingUpdate = { maxSurge: 1, maxUnavailable: 0 };
  await client.daemonSets.create(set({ updateStrategy: { type: "RollingUpdate", rollingUpdate } }));
  await run(made);
  await change(api, (spec) => {
    spec.template = newTemplate;
  });
  await run(made, (pod) => pod.spec?.containers?.[0]?.image === "web:1");
  assert.deepEqual(images(api), ["web:1", "web:1", "web:2"]);
  await run(made);
  await run(made);
  assert.deepEqual(images(api), ["web:2", "web:2"]);
  await change(api, (spec) => {
    spec.updateStrategy = { type: "OnDelete" };
    spec.template!.spec!.containers = [{ name: "c", image: "web:3" }];
  });
  await run(made);
  assert.deepEqual(images(api), ["web:2", "web:2"]);
  await client.pods.delete(active(api)[0]?.metadata?.name ?? "", "default");
  await run(made);
  assert.deepEqual(images(api), ["web:2", "web:3"]);
  await end();
});

test("a pod that failed is replaced, later each time", async () => {
  const made = await world("n1");
  const { api, client, clock, end } = made;
  await client.daemonSets.create(set());
  await clock.advance(100);
  const uids = new Set<string>();
  const fail = async () => {
    const [pod] = active(api);
    uids.add(pod?.metadata?.uid ?? "");
    await api.change("Pod", keyOf(pod ?? {}), (each) => {
      each.status = { phase: "Failed" };
    });
    await clock.advance(100);
  };
  await fail();
  await clock.advance(100);
  assert.ok(!uids.has(active(api)[0]?.metadata?.uid ?? ""));
  await fail();
  assert.ok(uids.has(active(api)[0]?.metadata?.uid ?? ""));
  await clock.advance(1_500);
  assert.ok(!uids.has(active(api)[0]?.metadata?.uid ?? ""));
  assert.ok(api.all("Event").some(({ reason }) => reason === "FailedDaemonPod"));
  await end();
});

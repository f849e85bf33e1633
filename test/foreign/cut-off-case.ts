/** A node that is cut off from its masters, and comes back: what runs there meanwhile. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Container, Node, Pod } from "../../proto/gen/core.ts";
import { until } from "../e2e/cluster.ts";
import { type Suite, workload } from "./pod-cases.ts";
import type { CriWorldHandle } from "./pod-world.ts";

/** Writes who it is to the file of the pod's name, ten times a second, as long as it runs. */
const script = `
read run </proc/sys/kernel/random/uuid
while echo $run >>/shared/$(hostname); do usleep 100000; done`;

/** Registers the case on nodes whose network is of this test. */
export function cutOffNode(suite: Suite, world: () => CriWorldHandle): void {
  const { container, get } = suite;
  const podsOf = async (app: string) =>
    (await get<{ items: Pod[] }>("pods", "-l", `app=${app}`)).items;
  const uidOf = ({ metadata }: Pod) => metadata?.uid;
  const readyNode = async (node: string) => {
    const { status } = await get<Node>("node", node);
    return status?.conditions?.find(({ type }) => type === "Ready");
  };
  const podNow = async (name: string) => {
    const { items } = await get<{ items: Pod[] }>("pods", `--field-selector=metadata.name=${name}`);
    return items[0];
  };
  const replaced = (name: string, uid: string | undefined) =>
    until(`pod ${name} to be replaced`, async () => {
      const now = await podNow(name);
      if (now === undefined || uidOf(now) === uid || !isReady(now)) {
        throw new Error(JSON.stringify(now));
      }
      return now;
    });
  const rolled = (...names: readonly string[]) =>
    Promise.all(names.map((name) => world().kubectl("rollout", "status", name, "--timeout=60s")));

  test("a node is cut off: of a StatefulSet no pod runs twice, and the rest moves", async () => {
    const directory = mkdtempSync(join(tmpdir(), "trireme-cut-"));
    /** How often containers of the pod's name have begun; fails if two ran at a time. */
    const runs = (name: string): number => {
      const lines = readFileSync(join(directory, name), "utf8").trim().split("\n");
      const begun = lines.filter((run, i) => run !== lines[i - 1]);
      assert.equal(new Set(begun).size, begun.length, `${name} ran twice at a time`);
      return begun.length;
    };
    const names = () => readdirSync(directory).filter((each) => !each.startsWith("moved-"));
    const shared = { name: "shared", hostPath: { path: directory } };
    const noting: Container = container(script, {
      volumeMounts: [{ name: "shared", mountPath: "/shared" }],
    });
    const spec = {
      terminationGracePeriodSeconds: 2,
      containers: [noting],
      volumes: [shared],
    };
    const set = (name: string, replicas: number, more: object = {}) =>
      workload("StatefulSet", name, replicas, { ...spec, ...more }, stateful(name));
    try {
      await world().apply(
        set("kept", 3),
        workload("Deployment", "moved", 3, spec),
        workload("DaemonSet", "agents", undefined, {
          ...spec,
          containers: [container("exec sleep 1000")],
        }),
      );
      await rolled("statefulset/kept", "deployment/moved", "daemonset/agents");
      const kept = (await podsOf("kept")).find(
        ({ spec: where }) => where?.nodeName !== world().nodes[0],
      );
      assert.ok(kept);
      const { name = "" } = kept.metadata ?? {};
      const node = kept.spec?.nodeName ?? "";
      await world().apply(set("forced", 1, { nodeSelector: { "kubernetes.io/hostname": node } }));
      await rolled("statefulset/forced");
      const [forced] = await podsOf("forced");
      assert.ok(forced);
      const here = ({ spec: where }: Pod) => where?.nodeName === node;
      const moved = (await podsOf("moved")).filter(here);
      assert.ok(moved.length > 0);
      const agent = (await podsOf("agents")).find(here);
      assert.ok(agent);

      world().connect(node, false);
      await until("the node to be found unreachable", async () => {
        return (await readyNode(node))?.status === "Unknown";
      });
      await until("the Deployment's pods to run elsewhere", async () => {
        const pods = (await podsOf("moved")).filter((pod) => !isLeaving(pod));
        if (pods.length === 3 && pods.every((pod) => isReady(pod) && !here(pod))) return true;
        throw new Error(
          JSON.stringify(pods.map(({ spec: { nodeName } = {}, status }) => [nodeName, status])),
        );
      });
      // The set's controller looks at its pods again, and makes the one that it lacks.
      await world().kubectl("scale", "statefulset/kept", "--replicas=4");
      await until("the new pod of the set", async () => {
        const made = await podNow("kept-3");
        return made !== undefined && isReady(made);
      });
      const still = await podNow(name);
      assert.equal(still && uidOf(still), uidOf(kept), "nothing says that its container has ended");
      assert.ok(still && isLeaving(still));
      // A person says that it has; its successor has nowhere to run.
      await world().kubectl("delete", "pod", "forced-0", "--force", "--grace-period=0");
      await until("the successor of a pod that a person deleted by force", async () => {
        const now = await podNow("forced-0");
        return now !== undefined && uidOf(now) !== uidOf(forced);
      });
      const running = await world().runningPods(node);
      for (const pod of [kept, forced, agent, ...moved]) {
        assert.ok(running.includes(uidOf(pod) ?? ""), `${pod.metadata?.name} runs on`);
      }

      world().connect(node, true);
      await until("the node to be back", async () => (await readyNode(node))?.status === "True");
      await replaced(name, uidOf(kept));
      await replaced("forced-0", uidOf(forced));
      await rolled("statefulset/kept", "deployment/moved", "daemonset/agents");
      await until("nothing to run there that the API does not know", async () => {
        const { items } = await get<{ items: Pod[] }>("pods", "-A");
        const known = items.filter(here).map(uidOf);
        return (await world().runningPods(node)).every((uid) => known.includes(uid));
      });
      for (const { metadata } of moved) {
        assert.equal(await podNow(metadata?.name ?? ""), undefined);
        assert.equal(runs(metadata?.name ?? ""), 1);
      }
      const replacedOnce = [name, "forced-0"];
      for (const each of names())
        assert.equal(runs(each), replacedOnce.includes(each) ? 2 : 1, each);
      const after = await podNow(agent.metadata?.name ?? "");
      assert.deepEqual(runOf(after), runOf(agent), "a DaemonSet's pod stays as it is");
    } finally {
      for (const node of world().nodes) world().connect(node, true);
      const sets = ["statefulset/kept", "statefulset/forced", "deployment/moved"];
      await world().kubectl("delete", "--ignore-not-found", ...sets, "daemonset/agents");
      await until("the pods to be gone", async () => {
        return (await podsOf("kept")).length === 0 && (await podsOf("forced")).length === 0;
      });
      rmSync(directory, { recursive: true });
    }
  });
}

const stateful = (serviceName: string) => ({ serviceName, podManagementPolicy: "Parallel" });

function isLeaving({ metadata }: Pod): boolean {
  return metadata?.deletionTimestamp !== undefined;
}

function isReady({ status }: Pod): boolean {
  return (
    status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false
  );
}

function runOf(pod: Pod | undefined) {
  const [run] = pod?.status?.containerStatuses ?? [];
  return [pod?.metadata?.uid, run?.containerID, run?.restartCount];
}

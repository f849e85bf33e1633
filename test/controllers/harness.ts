import type { FencingToken } from "../../ha/election/mod.ts";
import type { Deployment, ReplicaSet } from "../../proto/gen/apps.ts";
import type { Node, Pod, PodCondition } from "../../proto/gen/core.ts";
import { InformerFactory, keyOf } from "../../services/client/mod.ts";
import { ControllerManager } from "../../services/controllers/manager.ts";
import type { Controller } from "../../services/controllers/types.ts";
import { FakeApi } from "../client/fake-api.ts";
import { FakeClock, settle } from "../client/fake-clock.ts";
import { quietLog } from "../client/quiet-log.ts";

/** Controllers over a fake API and a fake clock, already leading. */
export async function harness(...controllers: Controller[]) {
  const clock = new FakeClock();
  const api = new FakeApi({ now: () => clock.wallMillis(), gracefulPods: true });
  const client = api.client();
  const informers = new InformerFactory({ client, log: quietLog, clock });
  const manager = new ControllerManager({ client, informers, controllers, clock, log: quietLog });
  const stop = new AbortController();
  const informing = new AbortController();
  informers.start(informing.signal);
  const lease = await client.leases.create({
    metadata: { name: "kcm", namespace: "kube-system" },
    spec: { holderIdentity: "me" },
  });
  const fence: FencingToken = {
    lease: "kube-system/kcm",
    token: lease.metadata?.resourceVersion ?? "",
  };
  const lead = manager.lead(fence, stop.signal);
  await settle();
  return {
    api,
    client,
    clock,
    fence,
    async end() {
      stop.abort();
      await lead;
      await manager.flush();
      informing.abort();
      await informers.ended();
    },
  };
}

export const active = (api: FakeApi): Pod[] =>
  api.all("Pod").filter(({ metadata }) => !metadata?.deletionTimestamp);

/** A kubelet that runs every bound, or unbound, pod at once and ends deleted ones. */
export function runPods(
  api: FakeApi,
  now: () => number,
  mayRun: (pod: Pod) => boolean = () => true,
): void {
  for (const pod of api.all("Pod")) {
    if (pod.metadata?.deletionTimestamp) {
      api.finishPod(keyOf(pod));
      continue;
    }
    if (pod.status?.phase === "Running" || !mayRun(pod)) continue;
    setReady(api, keyOf(pod), "True", now());
  }
}

export function setReady(api: FakeApi, key: string, status: string, now: number): void {
  api.change("Pod", key, (pod) => {
    const ready: PodCondition = {
      type: "Ready",
      status,
      lastTransitionTime: new Date(now).toISOString(),
    };
    pod.spec!.nodeName ??= "n1";
    pod.status = { phase: "Running", podIP: `127.64.0.${key.length}`, conditions: [ready] };
  });
}

const template = (image: string) => ({
  metadata: { labels: { app: "web" } },
  spec: { containers: [{ name: "c", image }] },
});

export const replicaSet = (replicas: number): ReplicaSet => ({
  metadata: { name: "web", namespace: "default" },
  spec: { replicas, selector: { matchLabels: { app: "web" } }, template: template("web:1") },
});

export const deployment = (replicas: number, change: Deployment["spec"] = {}): Deployment => ({
  metadata: { name: "web", namespace: "default" },
  spec: {
    replicas,
    selector: { matchLabels: { app: "web" } },
    template: template("web:1"),
    ...change,
  },
});

export const newTemplate = template("web:2");

export const node = (name: string): Node => ({
  metadata: { name },
  spec: {},
  status: { conditions: [{ type: "Ready", status: "True" }] },
});

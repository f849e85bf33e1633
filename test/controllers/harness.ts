import type { FencingToken } from "../../ha/election/mod.ts";
import type { Deployment, ReplicaSet } from "../../proto/gen/apps.ts";
import type { Node, Pod, PodCondition } from "../../proto/gen/core.ts";
import { InformerFactory, keyOf, type TriremeClient } from "../../services/client/mod.ts";
import { ControllerManager } from "../../services/controllers/manager.ts";
import type { Controller } from "../../services/controllers/types.ts";
import { FakeClock, settle } from "../client/fake-clock.ts";
import { quietLog } from "../client/quiet-log.ts";
import { RealApi } from "../client/real-api.ts";

/** Controllers over an apiserver in this process and a fake clock, already leading. */
export async function harness(...controllers: Controller[]) {
  const clock = new FakeClock();
  const api = await RealApi.open({ clock });
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
      await api.close();
    },
  };
}

/** Creates a pod as it is after its kubelet has told of it: containers get an image, status counts. */
export async function putPod(client: TriremeClient, pod: Pod): Promise<void> {
  const containers = pod.spec?.containers ?? [{ name: "c" }];
  const spec = { ...pod.spec, containers: containers.map((each) => ({ image: "i", ...each })) };
  const created = await client.pods.create({ ...pod, spec });
  if (pod.status === undefined) return;
  // A controller may have seen to the pod already.
  const metadata = { ...created.metadata, resourceVersion: undefined };
  await client.pods.updateStatus({ ...created, metadata, status: pod.status });
}

export const active = (api: RealApi): Pod[] =>
  api.all("Pod").filter(({ metadata }) => !metadata?.deletionTimestamp);

/** A kubelet that runs every bound, or unbound, pod at once and ends deleted ones. */
export function runPods(
  api: RealApi,
  now: () => number,
  mayRun: (pod: Pod) => boolean = () => true,
): void {
  for (const pod of api.all("Pod")) {
    if (pod.metadata?.deletionTimestamp) {
      void api.finishPod(keyOf(pod));
      continue;
    }
    if (pod.status?.phase === "Running" || !mayRun(pod)) continue;
    setReady(api, keyOf(pod), "True", now());
  }
}

export function setReady(api: RealApi, key: string, status: string, now: number): void {
  void api.change("Pod", key, (pod) => {
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

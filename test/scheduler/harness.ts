/** A scheduler on an apiserver in this process, with the time in the test's hands. */
import type { Node, Pod } from "../../proto/gen/core.ts";
import {
  createEventRecorder,
  type EventRecorder,
  InformerFactory,
  type LoopClock,
  type TriremeClient,
} from "../../services/client/mod.ts";
import { defaultPlugins, type Plugin, Scheduler } from "../../services/scheduler/mod.ts";
import { FakeClock } from "../client/fake-clock.ts";
import { quietLog } from "../client/quiet-log.ts";
import { RealApi } from "../client/real-api.ts";

export const node = (name: string, cpu = "2"): Node => ({
  metadata: { name },
  status: { allocatable: { cpu, memory: "4Gi", pods: "100" } },
});
export const pod = (name: string, cpu = "100m", change: Partial<Pod> = {}): Pod => ({
  ...change,
  metadata: { name, namespace: "default", ...change.metadata },
  spec: {
    containers: [{ name: "c", image: "i", resources: { requests: { cpu } } }],
    ...change.spec,
  },
});
/** The highest class but one; a pod may state no priority but that of its class. */
export const critical = { priorityClassName: "system-cluster-critical", priority: 2_000_000_000 };

export interface PluginContext {
  readonly client: TriremeClient;
  readonly recorder: EventRecorder;
  readonly clock: LoopClock;
}

export async function start(
  fence?: { lease: string; token: string },
  more: (context: PluginContext) => readonly Plugin[] = () => [],
) {
  const clock = new FakeClock();
  const api = await RealApi.open({ clock });
  const client = api.client();
  const informing = new AbortController();
  const informers = new InformerFactory({ client, log: quietLog, clock });
  const { events } = client;
  const recorder = createEventRecorder({ events, component: "s", clock, log: quietLog });
  const scheduler = new Scheduler({
    client,
    informers,
    recorder,
    plugins: [...defaultPlugins, ...more({ client, recorder, clock })],
    schedulerName: "default-scheduler",
    clock,
    log: quietLog,
  });
  informers.start(informing.signal);
  await informers.whenSynced();
  let leading = new AbortController();
  let lead = Promise.resolve();
  const begin = () => {
    leading = new AbortController();
    lead = scheduler.lead(fence, leading.signal);
  };
  const pause = async () => {
    leading.abort();
    await lead;
  };
  const end = async () => {
    await pause();
    informing.abort();
    await informers.ended();
    await recorder.flush();
    await api.close();
  };
  const nodeOf = (name: string) => api.get("Pod", `default/${name}`)?.spec?.nodeName;
  const conditionOf = (name: string) =>
    api.get("Pod", `default/${name}`)?.status?.conditions?.find((c) => c.type === "PodScheduled");
  /** Deletes a pod, and lets its kubelet end it. */
  const remove = async (name: string) => {
    await client.pods.delete(name, "default");
    await api.finishPod(`default/${name}`);
  };
  return { api, clock, client, scheduler, begin, pause, end, remove, nodeOf, conditionOf };
}

/** A pod worker on a fake runtime and a clock turned by hand. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach } from "node:test";
import type { Pod, PodSpec, PodStatus, PodStatusReport } from "../../proto/gen/core.ts";
import type { PodAddresses } from "../../services/kubelet/node/pod-ranges.ts";
import type { HostIPs } from "../../services/kubelet/pod/pod-ips.ts";
import type { ProbeOutcome } from "../../services/kubelet/pod/probes.ts";
import type { ResizeRefusal } from "../../services/kubelet/pod/resize.ts";
import { PodWorker } from "../../services/kubelet/pod/worker.ts";
import { FakeRuntime } from "./fake-runtime.ts";
import { FakeClock, settle, silent } from "./support.ts";

export const uid = "u1";
export const podsDir = mkdtempSync(join(tmpdir(), "trireme-pods-"));
after(() => rmSync(podsDir, { recursive: true }));
export const workers: PodWorker[] = [];
afterEach(() => {
  for (const worker of workers.splice(0)) worker.close();
});

export function podOf(spec: PodSpec, metadata: Pod["metadata"] = {}): Pod {
  return {
    metadata: { name: "p", namespace: "d", uid, ...metadata },
    spec: { restartPolicy: "Always", terminationGracePeriodSeconds: 30, ...spec },
  };
}
export const main = { name: "main", image: "i", command: ["run"] };

/** `addresses`: of the pod's own; `host`: the node's, in place of 127.0.0.1. */
export function harness(
  pod: Pod,
  addresses: PodAddresses = { address: "127.64.0.1" },
  host: HostIPs = { hostIP: "127.0.0.1" },
) {
  const clock = new FakeClock();
  const runtime = new FakeRuntime(clock);
  const reports: PodStatusReport[] = [];
  const events: string[] = [];
  const messages: string[] = [];
  const fieldPaths: (string | undefined)[] = [];
  const forgotten: string[] = [];
  const resize = { refusal: undefined as ResizeRefusal | undefined };
  const missing = { configMaps: new Set<string>() };
  const probe = {
    outcome: { ok: true, message: "" } as ProbeOutcome,
    runs: [] as string[],
    /** What answers by then, in place of `outcome`, by the first word of the command. */
    slow: new Map<string, Promise<ProbeOutcome>>(),
  };
  const worker = new PodWorker(
    {
      clock,
      log: silent,
      runtime,
      probeRunner: async (one) => {
        probe.runs.push(JSON.stringify(one.exec?.command ?? []));
        return probe.slow.get(one.exec?.command?.[0] ?? "") ?? probe.outcome;
      },
      events: {
        event: ({ fieldPath }, type, reason, message) => {
          fieldPaths.push(fieldPath);
          events.push(`${type} ${reason}`);
          messages.push(`${reason}: ${message}`);
        },
      },
      config: {
        configMap: async (_, name) =>
          missing.configMaps.has(name) ? undefined : { data: { key: "value" } },
        secret: async () => undefined,
        claim: async () => undefined,
        volume: async () => undefined,
      },
      askForToken: async () => assert.fail("no token is asked for"),
      services: () => [],
      nodeName: "n",
      ...host,
      nodeCpuMillis: 1000,
      nodeMemoryBytes: 1e9,
      refusesResize: () => resize.refusal,
      dns: { servers: [], domain: "cluster.local" },
      podsDir,
      addresses: () => addresses,
      report: (report) => reports.push(report),
      forgotten: (id) => forgotten.push(id),
    },
    pod,
  );
  runtime.onEvent(() => worker.wake());
  workers.push(worker);
  const status = (): PodStatus => reports.at(-1)?.status ?? {};
  const state = (name = "main") =>
    [...(status().containerStatuses ?? []), ...(status().initContainerStatuses ?? [])].find(
      (one) => one.name === name,
    );
  const condition = (type: string) => status().conditions?.find((one) => one.type === type)?.status;
  const starts = () => runtime.calls.filter((call) => call.startsWith("start "));
  const begin = async () => {
    worker.wake();
    await settle();
  };
  return {
    clock,
    runtime,
    reports,
    events,
    messages,
    fieldPaths,
    forgotten,
    missing,
    resize,
    probe,
    worker,
    status,
    state,
    condition,
    starts,
    begin,
  };
}

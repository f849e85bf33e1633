import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  cadvisorMetrics,
  type ResourceSource,
  resourceMetrics,
  summary,
} from "../../services/kubelet/resource-pages.ts";
import { FakeRuntime } from "./fake-runtime.ts";
import { FakeClock } from "./support.ts";

async function source(): Promise<ResourceSource> {
  const runtime = new FakeRuntime(new FakeClock());
  await runtime.runSandbox({
    ...{ uid: "u1", namespace: "d", name: "p", hostname: "p" },
    ...{ address: "127.64.0.1", hostNetwork: false },
  });
  runtime.pulled.add('i"1');
  const id = await runtime.createContainer({
    ...{ podUid: "u1", name: "c", attempt: 0, image: 'i"1', command: ["x"], args: [] },
    ...{ env: {}, mounts: [], specHash: "" },
  });
  await runtime.startContainer(id);
  runtime.resourceUse = async () => [
    {
      podUid: "u1",
      containers: [{ id, name: "c", cpuMillisTotal: 1_500, memoryBytes: 2_048, processes: 3 }],
      cpuMillisTotal: 1_500,
      memoryBytes: 2_048,
    },
  ];
  return {
    nodeName: "n1",
    runtime,
    cpuMillisTotal: () => 60_000,
    machine: async () => ({
      "nodefs.available": { free: 60, total: 100 },
      "nodefs.inodesFree": { free: 6, total: 10 },
      "pid.available": { free: 7, total: 10 },
    }),
    stats: () => ({
      time: "2026-01-01T00:00:00.000000Z",
      cpuNanoCores: 5,
      memoryBytes: 4_096,
      pods: [{ uid: "u1", containers: [{ name: "c", cpuNanoCores: 4, memoryBytes: 2_048 }] }],
    }),
  };
}

/** Lines of samples, without their times. */
const samples = (text: string) =>
  text.split("\n").flatMap((line) => (/^[^#]/.test(line) ? [line.replace(/ \d{13}$/, "")] : []));

describe("pages of what is used", () => {
  test("/metrics/resource", async () => {
    const text = await resourceMetrics(await source());
    const own = '{container="c",namespace="d",pod="p"}';
    assert.deepEqual(samples(text), [
      `container_cpu_usage_seconds_total${own} 1.5`,
      `container_memory_working_set_bytes${own} 2048`,
      `container_start_time_seconds${own} ${Date.UTC(2026, 0, 1) / 1000}`,
      "node_cpu_usage_seconds_total 60",
      "node_memory_working_set_bytes 4096",
      'pod_cpu_usage_seconds_total{namespace="d",pod="p"} 1.5',
      'pod_memory_working_set_bytes{namespace="d",pod="p"} 2048',
      "resource_scrape_error 0",
    ]);
    assert.match(text, /^# TYPE container_cpu_usage_seconds_total counter$/m);
  });

  test("/metrics/cadvisor escapes what labels may not hold", async () => {
    const text = await cadvisorMetrics(await source());
    const [cpu] = samples(text);
    assert.match(cpu ?? "", /^container_cpu_usage_seconds_total\{container="c",cpu="total",id="/);
    assert.match(cpu ?? "", /image="i\\"1",name="c-0-1",namespace="d",pod="p"\} 1\.5$/);
    assert.match(text, /^container_processes\{[^}]*\} 3 /m);
    assert.match(text, /^machine_memory_bytes \d+$/m);
  });

  test("/stats/summary", async () => {
    const told = JSON.parse(JSON.stringify(await summary(await source())));
    const time = "2026-01-01T00:00:00.000000Z";
    const started = "2026-01-01T00:00:00Z";
    const use = {
      cpu: { time, usageNanoCores: 4, usageCoreNanoSeconds: 1_500_000_000 },
      memory: { time, usageBytes: 2_048, workingSetBytes: 2_048 },
    };
    assert.deepEqual(told, {
      node: {
        nodeName: "n1",
        cpu: { time, usageNanoCores: 5, usageCoreNanoSeconds: 60_000_000_000 },
        memory: { time, usageBytes: 4_096, workingSetBytes: 4_096 },
        fs: {
          ...{ time, availableBytes: 60, capacityBytes: 100, usedBytes: 40 },
          ...{ inodesFree: 6, inodes: 10, inodesUsed: 4 },
        },
        rlimit: { time, maxpid: 10, curproc: 3 },
      },
      pods: [
        {
          podRef: { name: "p", namespace: "d", uid: "u1" },
          startTime: started,
          containers: [{ name: "c", startTime: started, ...use }],
          ...use,
          process_stats: { process_count: 3 },
        },
      ],
    });
  });
});

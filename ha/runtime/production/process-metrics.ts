/** What Prometheus' clients tell of every process, and Node's of its event loop. */
import { readdirSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { getHeapStatistics } from "node:v8";
import type { MetricsRegistry } from "../metrics.ts";

/** How often the loop's delay is sampled. */
const resolutionMillis = 20;

/** Once for each registry; the returned function ends the measuring. */
export function addProcessMetrics(registry: MetricsRegistry): () => void {
  const delay = monitorEventLoopDelay({ resolution: resolutionMillis });
  delay.enable();
  const one = (value: () => number) => () => [{ value: value() }];
  const gauge = (name: string, help: string, value: () => number) =>
    registry.collect("gauge", name, help, one(value));
  registry.collect(
    "counter",
    "process_cpu_seconds_total",
    "Total user and system CPU time spent in seconds.",
    one(() => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    }),
  );
  gauge("process_resident_memory_bytes", "Resident memory size in bytes.", () =>
    process.memoryUsage.rss(),
  );
  const startedAt = Date.now() / 1000 - process.uptime();
  gauge(
    "process_start_time_seconds",
    "Start time of the process since unix epoch in seconds.",
    () => startedAt,
  );
  registry.collect("gauge", "process_open_fds", "Number of open file descriptors.", () => {
    const files = openFiles();
    return files === undefined ? [] : [{ value: files }];
  });
  gauge("nodejs_heap_size_used_bytes", "Process heap size used from Node.js in bytes.", () => {
    return getHeapStatistics().used_heap_size;
  });
  gauge(
    "nodejs_eventloop_lag_seconds",
    "Mean lag of the event loop since the last scrape in seconds.",
    () => lagSeconds(delay.mean),
  );
  gauge("nodejs_eventloop_lag_p99_seconds", "The 99th percentile of it.", () =>
    lagSeconds(delay.percentile(99)),
  );
  gauge("nodejs_eventloop_lag_max_seconds", "The longest of it.", () => {
    const longest = lagSeconds(delay.max);
    delay.reset();
    return longest;
  });
  return () => delay.disable();
}

/** The measured times have the sampling's own interval in them. */
function lagSeconds(nanos: number): number {
  return Number.isFinite(nanos) ? Math.max(0, nanos / 1e9 - resolutionMillis / 1e3) : 0;
}

/** Undefined where the system does not tell. */
function openFiles(): number | undefined {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return undefined;
  }
}

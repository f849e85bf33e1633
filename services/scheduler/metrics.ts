/** The scheduler's counts, under upstream's names (`pkg/scheduler/metrics`). */
import {
  type Cell,
  type Family,
  type HistogramCell,
  processMetrics,
} from "../../ha/runtime/metrics.ts";

const labels = ["result", "profile"];

/** Seconds: from 1 ms, doubling. */
const buckets = Array.from({ length: 15 }, (_, at) => 0.001 * 2 ** at);

export type AttemptResult = "scheduled" | "unschedulable" | "error";

interface Families {
  readonly attempts: Family<Cell>;
  readonly durations: Family<HistogramCell>;
}

let families: Families | undefined;

export function countAttempt(result: AttemptResult, profile: string, seconds: number): void {
  families ??= {
    attempts: processMetrics.counter(
      "scheduler_schedule_attempts_total",
      "Number of attempts to schedule pods, by the result.",
      labels,
    ),
    durations: processMetrics.histogram(
      "scheduler_scheduling_attempt_duration_seconds",
      "Scheduling attempt latency in seconds (scheduling algorithm and binding).",
      buckets,
      labels,
    ),
  };
  families.attempts.labels(result, profile).inc();
  families.durations.labels(result, profile).observe(seconds);
}

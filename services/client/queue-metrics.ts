/** What a work queue's keys cost, under client-go's names (`util/workqueue/metrics.go`). */
import {
  type Cell,
  type Family,
  type HistogramCell,
  processMetrics,
} from "../../ha/runtime/metrics.ts";

/** Seconds. */
const buckets = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100, 1_000];
const names = ["name"];

interface Families {
  readonly depth: Family<Cell>;
  readonly adds: Family<Cell>;
  readonly retries: Family<Cell>;
  readonly waited: Family<HistogramCell>;
  readonly worked: Family<HistogramCell>;
}

let families: Families | undefined;

function allFamilies(): Families {
  families ??= {
    depth: processMetrics.gauge("workqueue_depth", "Current depth of workqueue.", names),
    adds: processMetrics.counter(
      "workqueue_adds_total",
      "Total number of adds handled by workqueue.",
      names,
    ),
    retries: processMetrics.counter(
      "workqueue_retries_total",
      "Total number of retries handled by workqueue.",
      names,
    ),
    waited: processMetrics.histogram(
      "workqueue_queue_duration_seconds",
      "How long in seconds an item stays in workqueue before being requested.",
      buckets,
      names,
    ),
    worked: processMetrics.histogram(
      "workqueue_work_duration_seconds",
      "How long in seconds processing an item from workqueue takes.",
      buckets,
      names,
    ),
  };
  return families;
}

/** Of one queue. Times are in ms, of one clock. */
export class QueueMetrics<K> {
  readonly #depth: Cell;
  readonly #adds: Cell;
  readonly #retries: Cell;
  readonly #waited: HistogramCell;
  readonly #worked: HistogramCell;
  readonly #addedAt = new Map<K, number>();
  readonly #takenAt = new Map<K, number>();

  constructor(name: string) {
    const all = allFamilies();
    this.#depth = all.depth.labels(name);
    this.#adds = all.adds.labels(name);
    this.#retries = all.retries.labels(name);
    this.#waited = all.waited.labels(name);
    this.#worked = all.worked.labels(name);
  }

  added(key: K, now: number, depth: number): void {
    this.#adds.value += 1;
    this.#depth.value = depth;
    this.#addedAt.set(key, now);
  }

  retried(): void {
    this.#retries.value += 1;
  }

  taken(key: K, now: number, depth: number): void {
    this.#depth.value = depth;
    this.#waited.observe((now - (this.#addedAt.get(key) ?? now)) / 1_000);
    this.#addedAt.delete(key);
    this.#takenAt.set(key, now);
  }

  done(key: K, now: number): void {
    const takenAt = this.#takenAt.get(key);
    if (takenAt === undefined) return;
    this.#takenAt.delete(key);
    this.#worked.observe((now - takenAt) / 1_000);
  }

  closed(): void {
    this.#depth.value = 0;
  }
}

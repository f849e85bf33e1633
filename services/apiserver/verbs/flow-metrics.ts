/** What flow control does, under upstream's names. */
import type { Cell, Family, HistogramCell, MetricsRegistry } from "../../../ha/runtime/metrics.ts";

interface LevelState {
  readonly name: string;
  readonly exempt: boolean;
  readonly nominal: number;
  readonly requests: number;
  /** Seats. */
  readonly executing: number;
  readonly waiting: number;
}

const labels = ["priority_level", "flow_schema"];
const waitBuckets = [0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30];

interface Cells {
  readonly level: string;
  readonly total: Cell;
  readonly waits: HistogramCell;
}

export class FlowMetrics {
  readonly #dispatched: Family<Cell>;
  readonly #rejected: Family<Cell>;
  readonly #waits: Family<HistogramCell>;
  /** By schema: most requests of one go to one level. */
  readonly #cells = new Map<string, Cells>();

  constructor(registry: MetricsRegistry, levels: () => readonly LevelState[]) {
    const prefix = "apiserver_flowcontrol";
    this.#dispatched = registry.counter(
      `${prefix}_dispatched_requests_total`,
      "Number of requests executed by API Priority and Fairness subsystem.",
      labels,
    );
    this.#rejected = registry.counter(
      `${prefix}_rejected_requests_total`,
      "Number of requests rejected by API Priority and Fairness subsystem.",
      [...labels, "reason"],
    );
    this.#waits = registry.histogram(
      `${prefix}_request_wait_duration_seconds`,
      "Length of time a request spent waiting in its queue.",
      waitBuckets,
      [...labels, "execute"],
    );
    const gauge = (name: string, help: string, value: (level: LevelState) => number) =>
      registry.collect("gauge", `${prefix}_${name}`, help, () =>
        levels()
          .filter(({ exempt }) => !exempt)
          .map((level) => ({ labels: { priority_level: level.name }, value: value(level) })),
      );
    gauge(
      "nominal_limit_seats",
      "Nominal number of execution seats of each priority level.",
      (one) => {
        return one.nominal;
      },
    );
    gauge("current_executing_requests", "Number of requests that are executing.", (one) => {
      return one.requests;
    });
    gauge("current_executing_seats", "Seats that the executing requests take.", (one) => {
      return one.executing;
    });
    gauge("current_inqueue_requests", "Number of requests that wait in queues.", (one) => {
      return one.waiting;
    });
  }

  dispatched(schema: string, level: string, waitedSeconds: number): void {
    let cells = this.#cells.get(schema);
    if (cells?.level !== level) {
      const total = this.#dispatched.labels(level, schema);
      cells = { level, total, waits: this.#waits.labels(level, schema, "true") };
      this.#cells.set(schema, cells);
    }
    cells.total.value += 1;
    cells.waits.observe(waitedSeconds);
  }

  rejected(schema: string, level: string, reason: string): void {
    this.#rejected.labels(level, schema, reason).value += 1;
  }
}

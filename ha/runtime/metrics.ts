/**
 * Counters, gauges and histograms, and their Prometheus text form (exposition format 0.0.4).
 *
 * What is counted on hot paths is a cell that its user keeps: a bump is an addition to a field, and
 * allocates nothing. What others know already is asked for when the text is made (`collect`).
 */

export type MetricType = "counter" | "gauge" | "histogram";

/** One value of a metric. */
export class Cell {
  value = 0;

  inc(by = 1): void {
    this.value += by;
  }

  set(value: number): void {
    this.value = value;
  }
}

/** Values by size; `sum` and `count` over all of them. */
export class HistogramCell {
  readonly buckets: readonly number[];
  /** Not cumulative; the last one is beyond every bucket. */
  readonly counts: Float64Array;
  sum = 0;
  count = 0;

  constructor(buckets: readonly number[]) {
    this.buckets = buckets;
    this.counts = new Float64Array(buckets.length + 1);
  }

  observe(value: number): void {
    const { buckets, counts } = this;
    let at = 0;
    while (at < buckets.length && value > (buckets[at] ?? 0)) at++;
    counts[at] = (counts[at] ?? 0) + 1;
    this.sum += value;
    this.count += 1;
  }
}

interface Series<C> {
  readonly labels: readonly string[];
  readonly cell: C;
}

/** Cells of one name, by the values of its labels. */
export class Family<C extends Cell | HistogramCell> {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType;
  readonly labelNames: readonly string[];
  readonly #make: () => C;
  readonly #series = new Map<string, Series<C>>();

  constructor(
    about: { readonly name: string; readonly help: string; readonly type: MetricType },
    labelNames: readonly string[],
    make: () => C,
  ) {
    this.name = about.name;
    this.help = about.help;
    this.type = about.type;
    this.labelNames = labelNames;
    this.#make = make;
  }

  /** The cell of these values, one for each label. To be kept where it is used often. */
  labels(...values: readonly string[]): C {
    const key = values.join("\u0000");
    let series = this.#series.get(key);
    if (series === undefined) {
      if (values.length !== this.labelNames.length) {
        throw new Error(`${this.name} has ${this.labelNames.length} labels, not ${values.length}`);
      }
      // Beyond the bound all further values share one series, so that no caller can fill memory.
      const full = this.#series.size >= seriesMax;
      const kept = full ? values.map(() => "other") : [...values];
      const shared = full ? this.#series.get(kept.join("\u0000")) : undefined;
      series = shared ?? { labels: kept, cell: this.#make() };
      this.#series.set(kept.join("\u0000"), series);
    }
    return series.cell;
  }

  get series(): Iterable<Series<C>> {
    return this.#series.values();
  }
}

/** Values of the labels that one name may have. */
const seriesMax = 5_000;

/** A value that is asked for when the text is made. */
export interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Collected {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  readonly samples: () => Iterable<Sample>;
}

export class MetricsRegistry {
  readonly #families = new Map<string, Family<Cell> | Family<HistogramCell> | Collected>();

  counter(name: string, help: string, labelNames: readonly string[] = []): Family<Cell> {
    return this.#add(new Family({ name, help, type: "counter" }, labelNames, () => new Cell()));
  }

  gauge(name: string, help: string, labelNames: readonly string[] = []): Family<Cell> {
    return this.#add(new Family({ name, help, type: "gauge" }, labelNames, () => new Cell()));
  }

  histogram(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames: readonly string[] = [],
  ): Family<HistogramCell> {
    const make = () => new HistogramCell(buckets);
    return this.#add(new Family({ name, help, type: "histogram" }, labelNames, make));
  }

  /**
   * `samples` is called for each text; must be quick and must not throw. Takes the place of an
   * earlier one of the name.
   */
  collect(
    type: Collected["type"],
    name: string,
    help: string,
    samples: () => Iterable<Sample>,
  ): void {
    this.#families.set(name, { name, help, type, samples });
  }

  /** In the text form, in the order in which the metrics were added. */
  text(): string {
    const lines: string[] = [];
    for (const family of this.#families.values()) {
      const { name, help, type } = family;
      lines.push(`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`);
      if ("samples" in family) {
        for (const { labels = {}, value } of family.samples()) {
          lines.push(line(name, Object.keys(labels), Object.values(labels), value));
        }
        continue;
      }
      for (const { labels, cell } of family.series) {
        if (cell instanceof HistogramCell) lines.push(...ofHistogram(family, labels, cell));
        else lines.push(line(name, family.labelNames, labels, cell.value));
      }
    }
    return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
  }

  #add<F extends Family<Cell> | Family<HistogramCell>>(family: F): F {
    const { name } = family;
    if (this.#families.has(name)) throw new Error(`the metric ${name} is there already`);
    this.#families.set(name, family);
    return family;
  }
}

/** What the parts of this process count that have no server of their own. */
export const processMetrics = new MetricsRegistry();

function ofHistogram(
  { name, labelNames }: Family<Cell> | Family<HistogramCell>,
  labels: readonly string[],
  { buckets, counts, sum, count }: HistogramCell,
): string[] {
  const names = [...labelNames, "le"];
  let below = 0;
  const lines = buckets.map((bucket, at) => {
    below += counts[at] ?? 0;
    return line(`${name}_bucket`, names, [...labels, numberText(bucket)], below);
  });
  return [
    ...lines,
    line(`${name}_bucket`, names, [...labels, "+Inf"], count),
    line(`${name}_sum`, labelNames, labels, sum),
    line(`${name}_count`, labelNames, labels, count),
  ];
}

function line(
  name: string,
  names: readonly string[],
  values: readonly string[],
  value: number,
): string {
  const labels = names.map((label, at) => `${label}="${escapeLabel(values[at] ?? "")}"`).join(",");
  return `${name}${labels === "" ? "" : `{${labels}}`} ${numberText(value)}`;
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return String(value);
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

/** The content type of the text. */
export const metricsContentType = "text/plain; version=0.0.4; charset=utf-8";

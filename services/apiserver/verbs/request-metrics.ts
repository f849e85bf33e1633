/** Counts and times of requests by what they ask for, under upstream's names. */
import type { Cell, Family, HistogramCell, MetricsRegistry } from "../../../ha/runtime/metrics.ts";
import type { Log } from "../../../ha/runtime/types.ts";
import type { Resource } from "../../kinds/mod.ts";
import { limits } from "../limits.ts";

/** Seconds (apiserver `pkg/endpoints/metrics`). */
const durationBuckets = [
  ...[0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8],
  ...[10, 15, 20, 30, 45, 60],
];

const verbTexts: Readonly<Record<string, string>> = { create: "POST", update: "PUT" };
const readVerbs: ReadonlySet<string> = new Set(["get", "list", "watch"]);
const collectionVerbs: ReadonlySet<string> = new Set(["list", "watch", "deletecollection"]);
const allNamespaces = "*";

/** Requests of one verb on one resource. A bump allocates nothing. */
export class RequestMeter {
  readonly #duration: HistogramCell;
  readonly #inflight: Cell;
  readonly #codes = new Map<number, Cell>();
  readonly #codeCell: (code: string) => Cell;
  readonly #slow: (millis: number, code: number) => void;

  constructor(
    { duration, inflight }: { readonly duration: HistogramCell; readonly inflight: Cell },
    codeCell: (code: string) => Cell,
    slow: (millis: number, code: number) => void,
  ) {
    this.#duration = duration;
    this.#inflight = inflight;
    this.#codeCell = codeCell;
    this.#slow = slow;
  }

  begin(): void {
    this.#inflight.value += 1;
  }

  /** `millis`: how long it took; `code`: an HTTP status. */
  end(millis: number, code: number): void {
    this.#inflight.value -= 1;
    this.#duration.observe(millis / 1000);
    if (millis > limits.slowRequestMillis) this.#slow(millis, code);
    this.counted(code);
  }

  /** Of requests that are not timed, as they last as long as their callers want. */
  counted(code: number): void {
    let cell = this.#codes.get(code);
    if (cell === undefined) {
      cell = this.#codeCell(String(code));
      this.#codes.set(code, cell);
    }
    cell.value += 1;
  }
}

export interface SlowRequest {
  readonly verb: string;
  readonly resource: string;
  readonly subresource: string;
  readonly millis: number;
  readonly code: number;
}

/** Lines of the log about slow requests, in a second; the next line says how many were left out. */
const slowLinesMax = 10;

/** Tells the log of slow requests, without filling it when all are slow. */
export function slowRequestLog(log: Log, now: () => number): (request: SlowRequest) => void {
  let second = 0;
  let lines = 0;
  let leftOut = 0;
  return ({ millis, ...request }) => {
    const present = Math.floor(now() / 1_000);
    if (present !== second) [second, lines] = [present, 0];
    lines++;
    if (lines > slowLinesMax) {
      leftOut++;
      return;
    }
    log.info("a request was slow", { ...request, millis: Math.round(millis), leftOut });
    leftOut = 0;
  };
}

export class RequestMetrics {
  readonly #total: Family<Cell>;
  readonly #duration: Family<HistogramCell>;
  readonly #inflight: Family<Cell>;
  /** By verb, then by subresource. */
  readonly #meters = new WeakMap<Resource, Map<string, Map<string, RequestMeter>>>();

  readonly #slow: (request: SlowRequest) => void;

  /** `slow`: told of each request that took long. */
  constructor(registry: MetricsRegistry, slow: (request: SlowRequest) => void = () => {}) {
    this.#slow = slow;
    const names = ["verb", "dry_run", "group", "version", "resource", "subresource", "scope"];
    this.#total = registry.counter(
      "apiserver_request_total",
      "Counter of apiserver requests broken out for each verb, resource, scope and HTTP code.",
      [...names, "component", "code"],
    );
    this.#duration = registry.histogram(
      "apiserver_request_duration_seconds",
      "Response latency distribution in seconds for each verb, resource and scope.",
      durationBuckets,
      [...names, "component"],
    );
    this.#inflight = registry.gauge(
      "apiserver_current_inflight_requests",
      "Number of requests under way, by kind; watches and streams are not among them.",
      ["request_kind"],
    );
    for (const kind of ["mutating", "readOnly"]) this.#inflight.labels(kind);
  }

  of(resource: Resource, verb: string, subresource: string, namespace: string): RequestMeter {
    const everywhere = namespace === "" && collectionVerbs.has(verb);
    const place = everywhere ? allNamespaces : subresource;
    return this.#meters.get(resource)?.get(verb)?.get(place) ?? this.#make(resource, verb, place);
  }

  #make(resource: Resource, verb: string, place: string): RequestMeter {
    const byVerb = this.#meters.get(resource) ?? new Map<string, Map<string, RequestMeter>>();
    this.#meters.set(resource, byVerb);
    const byPlace = byVerb.get(verb) ?? new Map<string, RequestMeter>();
    byVerb.set(verb, byPlace);
    const { group, version, plural } = resource;
    const everywhere = place === allNamespaces;
    const collection = collectionVerbs.has(verb) ? "namespace" : "resource";
    const scope = everywhere ? "cluster" : collection;
    const subresource = everywhere ? "" : place;
    const text = verbTexts[verb] ?? verb.toUpperCase();
    const labels = [text, "", group, version, plural, subresource, scope, "apiserver"];
    const meter = new RequestMeter(
      {
        duration: this.#duration.labels(...labels),
        inflight: this.#inflight.labels(readVerbs.has(verb) ? "readOnly" : "mutating"),
      },
      (code) => this.#total.labels(...labels, code),
      (millis, code) => this.#slow({ verb, resource: plural, subresource, millis, code }),
    );
    byPlace.set(place, meter);
    return meter;
  }
}

/**
 * Spans to an OpenTelemetry collector, by OTLP over HTTP in JSON
 * (https://opentelemetry.io/docs/specs/otlp/).
 *
 * Requests never wait for it: spans go into a bounded queue, which a timer of its own empties. What
 * finds no room, or is refused twice, is dropped and counted.
 */
import { randomFillSync } from "node:crypto";
import { hostname } from "node:os";
import type { MetricsRegistry } from "../metrics.ts";
import { Code, StatusError } from "../status-error.ts";
import { type Attributes, type AttributeValue, type FinishedSpan, Tracer } from "../trace.ts";
import type { Log } from "../types.ts";

export const traceFlags = {
  "otlp-endpoint": {
    type: "string",
    help:
      "URL of an OpenTelemetry collector that takes OTLP over HTTP, e.g. http://127.0.0.1:4318; " +
      "default: $OTEL_EXPORTER_OTLP_ENDPOINT; absent: no traces are exported",
  },
  "trace-sample": {
    type: "number",
    default: 0,
    help: "0 to 1: how many of the requests that come without a traceparent are traced",
  },
} as const;

/** As OpenTelemetry's batch span processor has them, but for the delay, which is 5 s there. */
const limits = {
  queueSpans: 2_048,
  batchSpans: 512,
  delayMillis: 1_000,
  exportMillis: 10_000,
  retryMillis: 1_000,
  retryMillisMax: 5_000,
} as const;

/** Answers after which the same batch may be sent again (OTLP, "Retryable Response Codes"). */
const retryable: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** What a tracer of another thread is made of. */
export interface TracingSettings {
  /** As the flag has it. */
  readonly endpoint: string;
  readonly sample: number;
  /** `service.name` and `service.instance.id` of all its spans. */
  readonly service: { readonly name: string; readonly instance: string };
  /** Fields of every request to the collector. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export interface TracingOptions extends TracingSettings {
  readonly log: Log;
  /** In the place of the defaults, for tests. */
  readonly limits?: Partial<Record<keyof typeof limits, number>>;
}

type Counts = Record<"exported" | "queueFull" | "refused", number>;

/** A tracer whose spans go to a collector. */
export class Tracing {
  readonly tracer: Tracer;
  readonly counts: Counts = { exported: 0, queueFull: 0, refused: 0 };
  readonly #options: TracingOptions;
  readonly #limits: Record<keyof typeof limits, number>;
  readonly #url: string;
  readonly #closing = new AbortController();
  #queue: FinishedSpan[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #complained = false;

  /** Throws a StatusError for an endpoint or a share that is none. */
  constructor(options: TracingOptions) {
    this.#options = options;
    this.#limits = { ...limits, ...options.limits };
    this.#url = tracesUrl(options.endpoint);
    const { sample } = options;
    if (!(sample >= 0 && sample <= 1)) {
      const text = `--trace-sample ${sample}: must be from 0 to 1`;
      throw new StatusError(Code.invalidArgument, text);
    }
    this.tracer = new Tracer({
      sample,
      sink: (span) => this.#take(span),
      now: () => performance.timeOrigin + performance.now(),
      randomHex,
      random: Math.random,
    });
  }

  /** Plain values, for another thread of this process. */
  get settings(): TracingSettings {
    const { endpoint, sample, service, headers } = this.#options;
    return { endpoint, sample, service, headers };
  }

  addMetrics(registry: MetricsRegistry): void {
    const one = (value: () => number) => () => [{ value: value() }];
    registry.collect(
      "counter",
      "trireme_trace_spans_exported_total",
      "Spans that the collector has taken.",
      one(() => this.counts.exported),
    );
    registry.collect(
      "counter",
      "trireme_trace_spans_dropped_total",
      "Spans that were dropped, for the queue was full or the collector did not take them.",
      () => [
        { labels: { reason: "queue_full" }, value: this.counts.queueFull },
        { labels: { reason: "not_taken" }, value: this.counts.refused },
      ],
    );
    registry.collect(
      "gauge",
      "trireme_trace_spans_queued",
      "Spans that wait for the collector.",
      one(() => this.#queue.length),
    );
  }

  /** Sends what waits, within the time of one export; what does not go is dropped. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#closing.abort();
    await this.#sending;
    const deadline = Date.now() + this.#limits.exportMillis / 5;
    while (this.#queue.length > 0 && Date.now() < deadline) await this.#sendBatch();
    this.counts.queueFull += this.#queue.length;
    this.#queue = [];
  }

  #take(span: FinishedSpan): void {
    if (this.#queue.length >= this.#limits.queueSpans) {
      this.counts.queueFull++;
      return;
    }
    this.#queue.push(span);
    if (this.#queue.length >= this.#limits.batchSpans) this.#send();
    else this.#arm();
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#sending !== undefined) return;
    this.#timer = setTimeout(() => this.#send(), this.#limits.delayMillis);
    this.#timer.unref();
  }

  /** One batch at a time is under way. */
  #send(): void {
    if (this.#sending !== undefined || this.#closing.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sending = this.#sendBatch().finally(() => {
      this.#sending = undefined;
      if (this.#queue.length >= this.#limits.batchSpans) this.#send();
      else if (this.#queue.length > 0) this.#arm();
    });
  }

  /** Never rejects. */
  async #sendBatch(): Promise<void> {
    const batch = this.#queue.splice(0, this.#limits.batchSpans);
    try {
      const body = JSON.stringify(exportRequest(this.#options.service, batch));
      const again = await this.#post(body);
      if (again !== undefined) {
        await pause(again, this.#closing.signal);
        await this.#post(body, true);
      }
      this.counts.exported += batch.length;
      this.#complained = false;
    } catch (thrown) {
      this.counts.refused += batch.length;
      if (this.#complained) return;
      this.#complained = true;
      const error = StatusError.from(thrown).message;
      this.#options.log.warn("spans were not exported", { url: this.#url, error });
    }
  }

  /** Answers after how many milliseconds it may be tried again; undefined: the collector has it. */
  async #post(body: string, last = false): Promise<number | undefined> {
    const { exportMillis, retryMillis, retryMillisMax } = this.#limits;
    let response: Response;
    try {
      response = await fetch(this.#url, {
        method: "POST",
        headers: { ...this.#options.headers, "content-type": "application/json" },
        body,
        signal: AbortSignal.timeout(exportMillis),
        redirect: "error",
      });
      await response.body?.cancel();
    } catch (thrown) {
      if (!last) return retryMillis;
      throw new StatusError(Code.unavailable, reasonOf(thrown));
    }
    if (response.ok) return undefined;
    if (last || !retryable.has(response.status)) {
      throw new StatusError(Code.unavailable, `the collector answers ${response.status}`);
    }
    const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
    return seconds > 0 ? Math.min(1_000 * seconds, retryMillisMax) : retryMillis;
  }
}

/** The flags' tracing; undefined: there is no endpoint. Throws StatusErrors that name the flag. */
export function tracingOf(
  flags: {
    readonly "otlp-endpoint"?: string | undefined;
    readonly "trace-sample"?: number | undefined;
  },
  component: string,
  log: Log,
): Tracing | undefined {
  const { env } = process;
  const endpoint = flags["otlp-endpoint"] ?? env["OTEL_EXPORTER_OTLP_ENDPOINT"];
  const { "trace-sample": sample = 0 } = flags;
  if (endpoint === undefined || endpoint === "") {
    if (sample === 0) return undefined;
    const text = `--trace-sample ${sample}: needs --otlp-endpoint, where the traces are to go`;
    throw new StatusError(Code.invalidArgument, text);
  }
  const instance = env["TRIREME_NAME"] ?? `${hostname()}:${process.pid}`;
  const headers = headersOf(env["OTEL_EXPORTER_OTLP_HEADERS"] ?? "");
  return new Tracing({
    ...{ endpoint, sample, headers, log },
    service: { name: `trireme-${component}`, instance },
  });
}

/** `name=value` pairs separated by commas, values percent-encoded. */
function headersOf(text: string): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const part of text.split(",")) {
    const at = part.indexOf("=");
    if (at > 0) headers[part.slice(0, at).trim()] = decodeURIComponent(part.slice(at + 1).trim());
  }
  return headers;
}

const tracesPath = "/v1/traces";

function tracesUrl(endpoint: string): string {
  const url = URL.parse(endpoint);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    const text = `--otlp-endpoint ${endpoint}: must be a URL, http:// or https://`;
    throw new StatusError(Code.invalidArgument, text);
  }
  if (!url.pathname.endsWith(tracesPath)) {
    url.pathname = `${url.pathname.replace(/\/$/, "")}${tracesPath}`;
  }
  return url.href;
}

function reasonOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  return thrown.cause instanceof Error ? thrown.cause.message : thrown.message;
}

function pause(millis: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, millis);
    timer.unref();
    signal.addEventListener("abort", end);
  });
}

/** Random bytes for the next ids; fetching each alone would cost more than all the rest. */
const pool = Buffer.alloc(4_096);
let used = pool.length;

function randomHex(bytes: number): string {
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += bytes;
  return pool.toString("hex", used - bytes, used);
}

/** An `ExportTraceServiceRequest` in proto3's JSON form, with ids in hexadecimal as OTLP has it. */
function exportRequest(
  { name, instance }: TracingOptions["service"],
  spans: readonly FinishedSpan[],
): object {
  const resource = { "service.name": name, "service.instance.id": instance };
  const scopeSpans = [{ scope: { name: "trireme" }, spans: spans.map(wireSpan) }];
  return { resourceSpans: [{ resource: { attributes: wireAttributes(resource) }, scopeSpans }] };
}

const statusError = 2;
/** The trace was chosen, and the parent is of another process or this one: W3C's sampled flag. */
const sampledFlag = 1;

function wireSpan(span: FinishedSpan): object {
  const { traceId, spanId, parentId, name, kind, attributes, events, error } = span;
  return {
    traceId,
    spanId,
    ...(parentId !== undefined && { parentSpanId: parentId }),
    flags: sampledFlag,
    name,
    kind,
    startTimeUnixNano: nanos(span.beganAt),
    endTimeUnixNano: nanos(span.endedAt),
    attributes: wireAttributes(attributes),
    events: events.map((event) => ({
      timeUnixNano: nanos(event.atMillis),
      name: event.name,
      attributes: wireAttributes(event.attributes),
    })),
    status: error === undefined ? {} : { code: statusError, message: error },
  };
}

/** In whole microseconds, all that the clock has. */
function nanos(unixMillis: number): string {
  return `${Math.round(unixMillis * 1_000)}000`;
}

function wireAttributes(attributes: Attributes): object[] {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: wireValue(value) }));
}

function wireValue(value: AttributeValue): object {
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}

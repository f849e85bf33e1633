/** Spans reach a collector in batches, and no request hears of a collector that is not there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MetricsRegistry } from "../../ha/runtime/metrics.ts";
import { Tracing, type TracingOptions, tracingOf } from "../../ha/runtime/production/otlp.ts";
import { SpanKind } from "../../ha/runtime/trace.ts";
import { eventually } from "../patience.ts";
import { freePorts } from "../ports.ts";
import { type LogLine, memoryLog } from "../rpc/helpers.ts";
import { collector } from "./collector.ts";

const service = { name: "trireme-test", instance: "test-0" };
const quick = { delayMillis: 5, retryMillis: 5, exportMillis: 2_000 };

function tracingTo(endpoint: string, more: Partial<TracingOptions> = {}): Tracing {
  const options = { endpoint, sample: 1, service, log: memoryLog() };
  return new Tracing({ ...options, ...more, limits: { ...quick, ...more.limits } });
}

function work(tracing: Tracing, count: number): void {
  for (let i = 0; i < count; i++) {
    const span = tracing.tracer.request(`work ${i}`, undefined, SpanKind.server);
    span?.set("text", "a");
    span?.set("whole", 3);
    span?.set("part", 0.5);
    span?.set("flag", true);
    span?.end(i === 0 ? "it failed" : undefined);
  }
}

test("spans go out in batches, with the process that made them", async () => {
  await using sink = await collector();
  const tracing = tracingTo(sink.endpoint, {
    headers: { "x-tenant": "a" },
    limits: { batchSpans: 4 },
  });
  work(tracing, 10);
  await eventually("all have arrived", () => sink.spans.length === 10);
  await tracing.close();
  const [first, second] = sink.spans;
  assert.deepEqual([first?.service, first?.instance], ["trireme-test", "test-0"]);
  assert.deepEqual([first?.error, second?.error], ["it failed", undefined]);
  assert.deepEqual(first?.attributes, { text: "a", whole: "3", part: "0.5", flag: "true" });
  assert.match(first?.traceId ?? "", /^[0-9a-f]{32}$/);
  assert.equal(first?.parentSpanId, undefined);
  assert.ok(first && first.endedAt >= first.beganAt);
  assert.ok(Math.abs(Number(first.endedAt / 1_000_000n) - Date.now()) < 60_000);
  assert.ok(sink.requests.length >= 3, "no batch is larger than it may be");
  const [request] = sink.requests;
  assert.equal(request?.path, "/v1/traces");
  assert.equal(request?.headers["content-type"], "application/json");
  assert.equal(request?.headers["x-tenant"], "a");
  assert.deepEqual(tracing.counts, { exported: 10, queueFull: 0, refused: 0 });
});

test("a batch that is not taken is sent once more, then dropped and counted", async () => {
  await using sink = await collector();
  sink.statuses.push(503, 200, 503, 503, 400);
  const lines: LogLine[] = [];
  const tracing = tracingTo(sink.endpoint, { log: memoryLog(lines) });
  const settled = () => {
    const { exported, queueFull, refused } = tracing.counts;
    return exported + queueFull + refused;
  };
  for (let i = 1; i <= 3; i++) {
    work(tracing, 1);
    await eventually(`batch ${i} is settled`, () => settled() === i);
  }
  assert.deepEqual(tracing.counts, { exported: 1, queueFull: 0, refused: 2 });
  assert.equal(sink.requests.length, 5);
  const complaints = lines.filter(({ text }) => text === "spans were not exported");
  assert.equal(complaints.length, 1, "one complaint for one outage");
  await tracing.close();
});

test("while no collector is there, the queue is bounded and all else goes on", async () => {
  const [port = 0] = await freePorts(1);
  const tracing = tracingTo(`http://127.0.0.1:${port}`, {
    limits: { queueSpans: 8, batchSpans: 8, retryMillis: 60_000 },
  });
  work(tracing, 100);
  await tracing.close();
  const { exported, queueFull, refused } = tracing.counts;
  assert.equal(exported, 0);
  assert.equal(queueFull + refused, 100);
  assert.ok(queueFull >= 80);
  const registry = new MetricsRegistry();
  tracing.addMetrics(registry);
  const text = registry.text();
  assert.match(text, /^trireme_trace_spans_exported_total 0$/m);
  assert.match(text, /^trireme_trace_spans_dropped_total\{reason="queue_full"\} \d+$/m);
  assert.match(text, /^trireme_trace_spans_queued 0$/m);
});

test("the flags say what is wrong with them", () => {
  const flags = (endpoint: string | undefined, sample: number) => () =>
    tracingOf({ "otlp-endpoint": endpoint, "trace-sample": sample }, "test", memoryLog());
  assert.equal(flags(undefined, 0)(), undefined);
  assert.equal(flags("", 0)(), undefined);
  assert.throws(flags("127.0.0.1:4318", 0), /--otlp-endpoint 127\.0\.0\.1:4318: must be a URL/);
  assert.throws(flags("http://127.0.0.1:4318", 1.5), /--trace-sample 1\.5: must be from 0 to 1/);
  assert.throws(flags(undefined, 0.5), /--trace-sample 0\.5: needs --otlp-endpoint/);
});

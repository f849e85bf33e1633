/** The words of W3C Trace Context, and which requests a tracer chooses. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type FinishedSpan, parseTraceparent, SpanKind, Tracer } from "../../ha/runtime/trace.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const spanId = "b7ad6b7169203331";

test("a traceparent is read as the recommendation says, and a malformed one counts as none", () => {
  const rows: [string | undefined, boolean | undefined][] = [
    [`00-${traceId}-${spanId}-01`, true],
    [`00-${traceId}-${spanId}-00`, false],
    [`00-${traceId}-${spanId}-03`, true],
    [`cc-${traceId}-${spanId}-01`, true],
    [`cc-${traceId}-${spanId}-01-what-the-future-brings`, true],
    [`00-${traceId}-${spanId}-01-more`, undefined],
    [`ff-${traceId}-${spanId}-01`, undefined],
    [`00-${"0".repeat(32)}-${spanId}-01`, undefined],
    [`00-${traceId}-${"0".repeat(16)}-01`, undefined],
    [`00-${traceId.toUpperCase()}-${spanId}-01`, undefined],
    [`00-${traceId}-${spanId}`, undefined],
    [`00-${traceId}-${spanId}-01,00-${traceId}-${spanId}-01`, undefined],
    ["", undefined],
    [undefined, undefined],
  ];
  for (const [text, sampled] of rows) {
    const context = parseTraceparent(text);
    assert.equal(context?.sampled, sampled, text);
    if (context !== undefined)
      assert.deepEqual([context.traceId, context.spanId], [traceId, spanId]);
  }
});

function tracer(sample: number, chance: number) {
  const spans: FinishedSpan[] = [];
  let now = 1_000;
  let ids = 0;
  const made = new Tracer({
    sample,
    sink: (span) => spans.push(span),
    now: () => now++,
    randomHex: (bytes) => (++ids).toString(16).padStart(2 * bytes, "0"),
    random: () => chance,
  });
  return { tracer: made, spans };
}

test("the sender's word counts; without one, chance", () => {
  const word = (flags: string) => `00-${traceId}-${spanId}-${flags}`;
  const begun = (sample: number, chance: number, traceparent?: string) =>
    tracer(sample, chance).tracer.request("r", traceparent, SpanKind.server) !== undefined;
  assert.equal(begun(0, 0.9, word("01")), true);
  assert.equal(begun(1, 0, word("00")), false);
  assert.equal(begun(0, 0), false);
  assert.equal(begun(0.5, 0.49), true);
  assert.equal(begun(0.5, 0.5), false);
  assert.equal(begun(1, 0.99, "nonsense"), true);
  assert.equal(tracer(0, 0).tracer.untraced, undefined);
  assert.equal(parseTraceparent(tracer(0.1, 0).tracer.untraced)?.sampled, false);
});

test("a span names its trace, its parent and its times, and ends once", () => {
  const { tracer: made, spans } = tracer(0, 0);
  const span = made.request("request", `00-${traceId}-${spanId}-01`, SpanKind.server);
  assert.ok(span);
  const child = span.child("child");
  child.record("timed elsewhere", { beganAt: 5, endedAt: 7 }, { "raft.term": 3 });
  child.end("broken");
  child.end();
  span.set("k", "v");
  span.set("absent", undefined);
  span.end();
  const [recorded, below, above] = spans;
  assert.equal(spans.length, 3);
  assert.deepEqual(new Set(spans.map((each) => each.traceId)), new Set([traceId]));
  assert.equal(above?.parentId, spanId);
  assert.equal(below?.parentId, above?.spanId);
  assert.equal(recorded?.parentId, below?.spanId);
  assert.deepEqual([recorded?.beganAt, recorded?.endedAt], [5, 7]);
  assert.deepEqual([below?.error, above?.error], ["broken", undefined]);
  assert.deepEqual(above?.attributes, { k: "v" });
  assert.equal(span.traceparent, `00-${traceId}-${above?.spanId}-01`);
});

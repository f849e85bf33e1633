/** What the balancer makes of a `traceparent`: spans with a tracer, nothing without one. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Metadata } from "@grpc/grpc-js";
import { call } from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { type FinishedSpan, parseTraceparent, Tracer } from "../../ha/runtime/trace.ts";
import { LeasesClient } from "../../proto/gen/coordination.ts";
import { eventually } from "../patience.ts";
import { header, useCluster } from "./fakes.ts";

const begin = useCluster();
const traceId = "0af7651916cd43dd8448eb211c80319c";
const traceparent = `00-${traceId}-b7ad6b7169203331-01`;

function carrying(text: string): { metadata: Metadata } {
  const metadata = new Metadata();
  metadata.set("traceparent", text);
  return { metadata };
}

function tracer(sample: number) {
  const spans: FinishedSpan[] = [];
  let ids = 0;
  const made = new Tracer({
    sample,
    sink: (span) => spans.push(span),
    now: () => performance.now(),
    randomHex: (bytes) => (++ids).toString(16).padStart(2 * bytes, "0"),
    random: () => 0.5,
  });
  return { tracer: made, spans };
}

describe("traces through the balancer", () => {
  test("without a tracer it goes on untouched, and calls that have it share a route", async () => {
    const { masters, client } = await begin();
    const leases = client(LeasesClient);
    const odd = "what-ever-it-is";
    for (const text of [traceparent, odd]) await call(leases, "create", {}, carrying(text));
    await call(leases, "create", {});
    const told = masters[0].seen.map((seen) => header(seen, "traceparent"));
    assert.deepEqual(told, [traceparent, odd, undefined]);
  });

  test("every attempt is a span below the relay's, with its master and why it failed", async () => {
    const { tracer: made, spans } = tracer(0);
    const { masters, client } = await begin({ tracer: made });
    masters[0].handle = async (_, __, context) => {
      context.setTrailer("trireme-retry", "safe");
      throw new StatusError(Code.unavailable, "etcdserver: leader changed");
    };
    await call(client(LeasesClient), "create", {}, carrying(traceparent));
    const [first, second, relay] = spans;
    assert.equal(spans.length, 3);
    assert.equal(relay?.name, "balancer relay");
    assert.equal(relay?.parentId, "b7ad6b7169203331");
    assert.deepEqual([first?.parentId, second?.parentId], [relay?.spanId, relay?.spanId]);
    assert.equal(first?.attributes["trireme.master"], "master-0");
    assert.match(first?.error ?? "", /had done nothing/);
    assert.deepEqual([second?.attributes["trireme.attempt"], second?.error], [2, undefined]);
    assert.equal(relay?.attributes["trireme.attempts"], 2);
    assert.equal(relay?.attributes["trireme.master"], second?.attributes["trireme.master"]);
    const seen = masters.flatMap((master) => master.seen);
    const told = seen.map((each) => parseTraceparent(header(each, "traceparent"))?.spanId);
    assert.deepEqual(new Set(told), new Set([first?.spanId, second?.spanId]));
  });

  test("a master that dies is named in the attempt that it did not answer", async () => {
    const { tracer: made, spans } = tracer(1);
    const { masters, client } = await begin({ tracer: made });
    masters[0].handle = () => new Promise<never>(() => {});
    const pending = call(client(LeasesClient), "create", {});
    await eventually("it has arrived", () => masters[0].seen.length === 1);
    await masters[0].kill();
    masters[1].set({ role: "leader", term: 2, leaderName: "master-1" });
    await pending;
    const attempts = spans.filter(({ name }) => name === "balancer attempt");
    const [lost] = attempts.filter((each) => each.attributes["trireme.master"] === "master-0");
    assert.match(lost?.error ?? "", /was (lost|refused)/);
    const [relay] = spans.filter(({ name }) => name === "balancer relay");
    assert.equal(relay?.parentId, undefined, "chance has chosen it");
    assert.equal(relay?.error, undefined);
  });

  test("what chance did not choose is not chosen again behind the balancer", async () => {
    const { tracer: made, spans } = tracer(0.1);
    const { masters, client } = await begin({ tracer: made });
    await call(client(LeasesClient), "create", {});
    const unsampled = `00-${traceId}-b7ad6b7169203331-00`;
    await call(client(LeasesClient), "create", {}, carrying(unsampled));
    assert.equal(spans.length, 0);
    const [first, second] = masters[0].seen.map((seen) => header(seen, "traceparent"));
    assert.equal(parseTraceparent(first)?.sampled, false);
    assert.equal(second, unsampled);
  });
});

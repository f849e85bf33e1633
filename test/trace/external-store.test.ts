/** A write to an external etcd carries the trace that it belongs to. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Endpoints } from "../../ha/etcd/external/endpoints.ts";
import { SpanKind, Tracer } from "../../ha/runtime/trace.ts";
import { memoryLog } from "../rpc/helpers.ts";

test("the members of an external etcd are told of the trace, and of none without one", async () => {
  const tracer = new Tracer({
    ...{ sample: 1, sink: () => {}, now: () => 0, random: () => 0 },
    randomHex: (bytes) => "1".repeat(2 * bytes),
  });
  const span = tracer.request("commit", undefined, SpanKind.internal);
  const endpoints = new Endpoints(["127.0.0.1:1"], undefined, memoryLog());
  const told = (options: { readonly span?: typeof span }) =>
    endpoints.call({ repeatable: false, ...options }, async (_, { metadata }) => [
      metadata?.get("traceparent"),
      metadata?.get("hasleader"),
    ]);
  assert.deepEqual(await told({ span }), [[span?.traceparent], ["true"]]);
  assert.deepEqual(await told({}), [[], ["true"]]);
  endpoints.close();
});

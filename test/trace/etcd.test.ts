/** Calls to etcd's API that belong to a trace. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Metadata } from "@grpc/grpc-js";
import { call } from "../../ha/rpc/mod.ts";
import { type FinishedSpan, Tracer } from "../../ha/runtime/trace.ts";
import type { DirectStore, WriteOptions } from "../../ha/store/mod.ts";
import { openFace } from "../etcd/support.ts";

const trace = "a".repeat(32);
const caller = "b".repeat(16);

function metadataOf(flags: string): Metadata {
  const metadata = new Metadata();
  metadata.set("traceparent", `00-${trace}-${caller}-${flags}`);
  return metadata;
}

/** Notes below which span each write is done. */
function noting(store: DirectStore, parents: (string | undefined)[]): DirectStore {
  return new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      return (...args: [unknown, WriteOptions?]) => {
        if (name === "txn") parents.push(args[1]?.span?.traceparent);
        return value.apply(target, args);
      };
    },
  });
}

test("a traced put is a span, below which its member works", async () => {
  const spans: FinishedSpan[] = [];
  let count = 0;
  const tracer = new Tracer({
    ...{ sample: 0, sink: (span) => spans.push(span), now: () => 0, random: () => 0 },
    randomHex: (bytes) => String(++count).padStart(2 * bytes, "0"),
  });
  const parents: (string | undefined)[] = [];
  const face = await openFace({ tracer, wrap: (store) => noting(store, parents) });
  const pair = { key: Buffer.from("k"), value: Buffer.from("v") };
  await call(face.kv, "put", pair, { metadata: metadataOf("01") });
  await call(face.kv, "range", { key: pair.key }, { metadata: metadataOf("01") });
  const [put] = spans.filter(({ name }) => name === "etcd Put");
  assert.deepEqual([put?.traceId, put?.parentId, put?.error], [trace, caller, undefined]);
  assert.equal(put?.attributes["rpc.grpc.status_code"], 0);
  assert.deepEqual(parents, [`00-${trace}-${put?.spanId}-01`]);
  assert.ok(spans.some(({ name }) => name === "etcd Range"));

  const before = spans.length;
  await call(face.kv, "put", pair, { metadata: metadataOf("00") });
  await call(face.kv, "put", pair);
  assert.equal(spans.length, before, "what is not to be traced, or says nothing, leaves no span");

  const empty = call(face.kv, "put", { ...pair, key: Buffer.of() }, { metadata: metadataOf("01") });
  await assert.rejects(empty, /key is not provided/);
  const refused = spans.at(-1);
  assert.deepEqual([refused?.name, refused?.error], ["etcd Put", undefined]);
  assert.equal(refused?.attributes["rpc.grpc.status_code"], 3);
  await face.close();
});

/** What a caller is told when this master cannot serve: whether to repeat, and when. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { openLocalStore } from "../../ha/store/mod.ts";
import type { Store } from "../../ha/store/types.ts";
import { parseAddressRange, parseAddressRanges } from "../../services/apiserver/address-range.ts";
import { parsePortRange } from "../../services/apiserver/admission/port-range.ts";
import { parseInitialCluster } from "../../services/apiserver/mod.ts";
import { get } from "../../services/apiserver/verbs/mod.ts";
import { memoryRuntime } from "../store/memory-runtime.ts";
import { adminCall, configMap, fails, kind, make, world } from "./harness.ts";

const maps = kind("configmaps");

/** A store whose next calls of one method fail with these texts. */
async function failing(method: "txn" | "readRevision"): Promise<{ store: Store; texts: string[] }> {
  const inner = await openLocalStore(memoryRuntime());
  const texts: string[] = [];
  const store = new Proxy(inner, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        const text = name === method ? texts.shift() : undefined;
        if (text !== undefined) return Promise.reject(new StatusError(Code.unavailable, text));
        return value.apply(target, args);
      };
    },
  });
  return { store, texts };
}

function recording() {
  const trailers = new Map<string, string>();
  const call = adminCall({ setTrailer: (key, value) => void trailers.set(key, value) });
  return { call, trailers };
}

test("a failed read may always be repeated elsewhere", async () => {
  const { store, texts } = await failing("readRevision");
  await using w = await world({ store });
  texts.push("etcdserver: request timed out");
  const { call, trailers } = recording();
  const request = { namespace: "default", name: "a" };
  await fails(get(w.backend, call, maps, request), "unavailable", "etcdserver: request timed out");
  assert.equal(trailers.get("trireme-retry"), "safe");
});

test("a read that waits for the cache ends when the master stops, and is repeated elsewhere", async () => {
  await using w = await world();
  const request = { namespace: "default", name: "a", resourceVersion: "1000000" };
  const waiting = recording();
  const read = get(w.backend, waiting.call, maps, request);
  const closing = w.backend.cache.close();
  const late = recording();
  const lateRead = get(w.backend, late.call, maps, request);
  await fails(read, "unavailable", "the apiserver is stopping");
  await fails(lateRead, "unavailable", "the apiserver is stopping");
  assert.equal(waiting.trailers.get("trireme-retry"), "safe");
  assert.equal(late.trailers.get("trireme-retry"), "safe");
  await closing;
});

test("a failed write is safe to repeat only if no leader was given it", async () => {
  const { store, texts } = await failing("txn");
  await using w = await world({ store });
  const rows = [
    ["etcdserver: no leader", "safe"],
    ["etcdserver: leader changed", undefined],
    ["etcdserver: request timed out", undefined],
  ] as const;
  for (const [text, trailer] of rows) {
    texts.push(text);
    const { call, trailers } = recording();
    await fails(make(w.backend, configMap("a"), call), "unavailable", text);
    assert.equal(trailers.get("trireme-retry"), trailer, text);
  }
});

test("bad ranges and bad clusters are refused by name", () => {
  assert.throws(() => parseAddressRange("127.32.0.1/12"), /bits beyond the prefix/);
  assert.throws(() => parseAddressRange("10.0.0.0/30"), /has 30 bits, must have 8 to 28/);
  assert.throws(() => parseAddressRange("services"), /an IPv4 range such as/);
  assert.throws(() => parseAddressRange("fd00::/48"), /has 48 bits, must have 64 to 124/);
  assert.throws(() => parseAddressRanges("10.0.0.0/16,10.1.0.0/16"), /one must be of IPv6/);
  assert.throws(() => parseAddressRanges("10.0.0.0/16,fd00::/64,x"), /at most two ranges/);
  assert.throws(() => parsePortRange("many"), /a range of ports such as/);
  assert.throws(() => parsePortRange("2-1"), /last port is smaller/);
  assert.throws(() => parsePortRange("65000+1000"), /between 1 and 65535/);
  assert.equal(parsePortRange("30000+9").text, "30000-30009");
  const id = "12D3KooWAbcdefghijkmnopqrstuv";
  const one = `a=127.0.0.1:1/${id}`;
  assert.deepEqual(parseInitialCluster(one, "a"), [
    { name: "a", address: "127.0.0.1:1", identity: id },
  ]);
  assert.throws(() => parseInitialCluster(one, "b"), /--name b is not among the members/);
  assert.throws(() => parseInitialCluster(`${one},${one}`, "a"), /name a is there twice/);
  assert.throws(() => parseInitialCluster("a=b", "a"), /name=host:port\/peerid is wanted/);
});

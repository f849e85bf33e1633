/** What a master writes of the nodes that it hears. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Store } from "../../ha/store/types.ts";
import type { NodeLiveness } from "../../proto/gen/node.ts";
import { Liveness } from "../../services/apiserver/nodes/liveness.ts";
import { objectKey } from "../../services/apiserver/storage/keys.ts";
import type { Backend } from "../../services/apiserver/verbs/mod.ts";
import { FakeClock } from "../kubelet/support.ts";
import { eventually } from "../patience.ts";
import { make, world } from "./harness.ts";

/** A backend on a fake clock whose store refuses writes for as long as it is told to. */
function breakable(backend: Backend, clock: FakeClock) {
  const state = { broken: false, writes: 0, failures: 0 };
  const txn: Store["txn"] = async (...args) => {
    state.writes++;
    if (state.broken) throw new StatusError(Code.unavailable, "the store has no leader");
    return backend.store.txn(...args);
  };
  const store = new Proxy(backend.store, {
    get(target, name) {
      if (name === "txn") return txn;
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const log = { ...backend.log, warn: () => void state.failures++ };
  return { state, backend: { ...backend, store, log, clock, now: () => clock.wallMillis() } };
}

test("a master writes when a stream opens, then every ten seconds, and soon again after a failure", async () => {
  await using w = await world();
  await make(w.backend, { apiVersion: "v1", kind: "Node", metadata: { name: "n" } });
  const clock = new FakeClock();
  const { state, backend } = breakable(w.backend, clock);
  const resource = backend.registry.required("node.trireme.io/v1", "NodeLiveness");
  const heard = () => {
    const stored = backend.cache.of(resource).get(objectKey(resource, "", backend.name));
    return (stored?.document as NodeLiveness | undefined)?.nodes?.["n"]?.lastHeartbeatTime;
  };
  const liveness = new Liveness(backend, {});
  const stream = liveness.open("n");
  await clock.advance(500);
  const first = await eventually("the open stream is told", heard);
  // Heartbeats alone wait for the interval.
  stream.beat(undefined);
  const { writes } = state;
  await clock.advance(9_000);
  assert.equal(state.writes, writes);
  state.broken = true;
  await clock.advance(1_000);
  await eventually("a write fails", () => state.failures > 0);
  state.broken = false;
  await clock.advance(1_100);
  await eventually("it is tried again before the next interval", () => heard() !== first);
  await liveness.close();
});

/** When a stream into a pod ends by itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { piecesOf, RelayEnd } from "../../services/apiserver/nodes/relay.ts";
import type { NodeServing } from "../../services/apiserver/nodes/types.ts";
import { FakeClock } from "../kubelet/support.ts";

function end(signals: readonly (AbortSignal | undefined)[] = []) {
  const clock = new FakeClock();
  const stopping = new AbortController();
  const serving = { backend: { clock }, stopping: stopping.signal } as unknown as NodeServing;
  return { clock, stopping, relay: new RelayEnd(serving, signals, 8_000) };
}

test("a stream on which nothing moves ends, and says why", async () => {
  const { clock, relay } = end();
  await clock.advance(7_000);
  relay.moved();
  await clock.advance(7_000);
  assert.equal(relay.signal.aborted, false);
  await clock.advance(2_000);
  assert.equal(relay.signal.aborted, true);
  const reason = relay.reason(new StatusError(Code.cancelled, "cancelled"));
  assert.ok(reason instanceof StatusError);
  assert.equal(reason.code, Code.deadlineExceeded);
  assert.equal(reason.message, "the stream was closed because nothing was sent for 8 s");
  relay.close();
});

test("it ends with its call and with the server, whose errors stay as they are", () => {
  const caller = new AbortController();
  const first = end([caller.signal, undefined]);
  caller.abort();
  assert.equal(first.relay.signal.aborted, true);
  const error = new StatusError(Code.unavailable, "gone");
  assert.equal(first.relay.reason(error), error);
  const second = end();
  second.stopping.abort();
  assert.equal(second.relay.signal.aborted, true);
  for (const { relay } of [first, second]) relay.close();
});

test("long input is cut, and none is still one piece", () => {
  const lengths = (bytes: number) => [...piecesOf(Buffer.alloc(bytes))].map(({ length }) => length);
  assert.deepEqual(lengths(0), [0]);
  assert.deepEqual(lengths(65_536), [65_536]);
  assert.deepEqual(lengths(150_000), [65_536, 65_536, 18_928]);
});

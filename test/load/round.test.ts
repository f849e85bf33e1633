/** A round against a server that stands still once: what each pace says of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeFromCompressedBase64 } from "hdr-histogram-js";
import { type Call, type LoadClient, RequestTemplate } from "../../services/load/client/mod.ts";
import type { Pace } from "../../services/load/engine/messages.ts";
import { Round } from "../../services/load/engine/round.ts";

const template = RequestTemplate.grpc(
  { scheme: "http", authority: "nobody", path: "/" },
  Buffer.alloc(0),
);
const stallMillis = 300;

/** Answers at once, but for the third call, and for all behind it, which wait for its stall. */
function stallingServer(): Pick<LoadClient, "send"> {
  let calls = 0;
  let stalledUntil = 0;
  return {
    send(_template: RequestTemplate, call: Call) {
      call.begin(performance.now(), Number.POSITIVE_INFINITY);
      if (++calls === 3) stalledUntil = performance.now() + stallMillis;
      setTimeout(() => call.end("OK", ""), Math.max(1, stalledUntil - performance.now()));
    },
  };
}

async function run(pace: Pace, client: Pick<LoadClient, "send">, millis = 600) {
  let name = 0;
  const round = new Round({
    ...{ client: client as LoadClient, pace, millis, slowMillis: 50 },
    next: () => ({ template, name: name++ }),
    sending: () => {},
  });
  const result = await round.run();
  const decode = (text: string) => {
    const histogram = decodeFromCompressedBase64(text, 32);
    const over = (limit: number) => {
      let count = 0;
      for (let i = 1; i <= histogram.totalCount; i++) {
        const percentile = (100 * (i - 0.5)) / histogram.totalCount;
        if (histogram.getValueAtPercentile(percentile) > 1_000 * limit) count++;
      }
      return count;
    };
    return { count: histogram.totalCount, over, maxMillis: histogram.maxValue / 1_000 };
  };
  return { ...result, latency: decode(result.latency), service: decode(result.service), round };
}

test("at a closed pace one client hides the calls that it would have made", async () => {
  const { calls, latency } = await run({ kind: "closed", clients: 1 }, stallingServer());
  assert.equal(latency.count, calls);
  assert.ok(latency.maxMillis >= stallMillis - 2);
  assert.ok(latency.over(stallMillis / 2) < 5, "the stall is one call among many");
});

test("at an open pace every call that was due meanwhile counts from when it was due", async () => {
  const pace = { kind: "open", perSecond: 200, atOnceMax: 1 } as const;
  const { latency, service } = await run(pace, stallingServer());
  assert.ok(latency.over(stallMillis / 2) >= 20, `${latency.over(stallMillis / 2)} were late`);
  assert.ok(service.over(stallMillis / 2) < latency.over(stallMillis / 2) / 4);
});

test("calls that were due and could not be sent count with the time they waited", async () => {
  const never: Pick<LoadClient, "send"> = {
    send(_template: RequestTemplate, call: Call) {
      call.begin(performance.now(), 0);
      setTimeout(() => call.end("DEADLINE_EXCEEDED", "no answer"), 400);
    },
  };
  const pace = { kind: "open", perSecond: 100, atOnceMax: 2 } as const;
  const { calls, unsent, latency, failures } = await run(pace, never, 300);
  assert.equal(calls, 2);
  assert.ok(unsent >= 20, `${unsent} unsent`);
  assert.equal(latency.count, calls + unsent);
  assert.deepEqual(failures, { DEADLINE_EXCEEDED: { count: 2, example: "no answer" } });
});

test("a round that is stopped ends when its calls have ended", async () => {
  let name = 0;
  const round = new Round({
    client: stallingServer() as LoadClient,
    pace: { kind: "closed", clients: 4 },
    ...{ millis: 3_600_000, slowMillis: 50 },
    next: () => ({ template, name: name++ }),
    sending: () => {},
  });
  const running = round.run();
  setTimeout(() => round.stop(), 20);
  const { calls } = await running;
  assert.equal(calls, name);
  const { ok, slow, failed } = round.takeTick();
  assert.deepEqual({ all: ok + slow, failed }, { all: calls, failed: 0 });
});

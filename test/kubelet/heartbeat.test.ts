import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type {
  HeartbeatRequest,
  HeartbeatResponse,
  NodeStatus,
  PodStatusResult,
} from "../../proto/gen/core.ts";
import { kubeletLimits } from "../../services/kubelet/limits.ts";
import { Heartbeat } from "../../services/kubelet/node/heartbeat.ts";
import { FakeClock, settle, silent } from "./support.ts";

/** The apiserver's end of one stream. */
class FakeStream {
  readonly sent: HeartbeatRequest[] = [];
  cancelled = false;
  #queue: (HeartbeatResponse | Error)[] = [];
  #wake: () => void = () => undefined;

  send(request: HeartbeatRequest): boolean {
    this.sent.push(request);
    return true;
  }

  async ready(): Promise<void> {}

  answer(response: HeartbeatResponse): void {
    this.#queue.push(response);
    this.#wake();
  }

  break(): void {
    this.#queue.push(new StatusError(Code.unavailable, "broken"));
    this.#wake();
  }

  end(): void {}

  cancel(): void {
    if (this.cancelled) return;
    this.cancelled = true;
    this.#queue.push(new StatusError(Code.cancelled, "cancelled"));
    this.#wake();
  }

  get responses(): AsyncIterable<HeartbeatResponse> {
    return this.#read();
  }

  async *#read(): AsyncGenerator<HeartbeatResponse> {
    for (;;) {
      const next = this.#queue.shift();
      if (next instanceof Error) throw next;
      if (next !== undefined) yield next;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}

const aborts: AbortController[] = [];
afterEach(() => {
  for (const abort of aborts.splice(0)) abort.abort();
});

async function harness(intervalMillis?: number) {
  const clock = new FakeClock();
  const streams: FakeStream[] = [];
  const results: PodStatusResult[] = [];
  const latest: boolean[] = [];
  const world = {
    status: { phase: "a" } as NodeStatus,
    down: false,
    opens: [] as number[],
    registered: 0,
  };
  const heartbeat = new Heartbeat({
    nodeName: "n1",
    kubeletPort: 10250,
    clock,
    log: silent,
    intervalMillis,
    random: () => 1,
    open: async () => {
      world.opens.push(clock.monotonicMillis());
      if (world.down) throw new StatusError(Code.unavailable, "down");
      const stream = new FakeStream();
      streams.push(stream);
      return stream;
    },
    status: () => world.status,
    usage: async () => ({ cpuMillis: 5 }),
    result: (result, isLatest) => {
      results.push(result);
      latest.push(isLatest);
    },
    register: async () => {
      world.registered += 1;
    },
  });
  const abort = new AbortController();
  aborts.push(abort);
  const ended = heartbeat.run(abort.signal);
  await settle();
  const last = () => streams.at(-1) as FakeStream;
  return { clock, streams, results, latest, world, heartbeat, abort, ended, last };
}

const report = (uid: string, phase: string) => ({
  uid,
  name: uid,
  namespace: "d",
  status: { phase },
});

describe("heartbeat", () => {
  test("the first message carries everything, later ones what changed", async () => {
    const h = await harness();
    const { sent } = h.last();
    assert.deepEqual(sent, [
      {
        nodeName: "n1",
        sequence: 1,
        status: { phase: "a" },
        usage: { cpuMillis: 5 },
        kubeletPort: 10250,
      },
    ]);
    h.last().answer({ sequence: 1, registered: true });
    await h.clock.advance(5_000);
    assert.deepEqual(sent[1], { nodeName: "n1", sequence: 2, usage: { cpuMillis: 5 } });
    h.last().answer({ sequence: 2 });
    h.world.status = { phase: "b" };
    h.heartbeat.statusChanged();
    await settle();
    assert.deepEqual(sent[2], { nodeName: "n1", sequence: 3, status: { phase: "b" } });
  });

  test("reports of one turn leave together and at once", async () => {
    const h = await harness();
    h.heartbeat.report(report("p1", "Pending"));
    h.heartbeat.report(report("p2", "Running"));
    h.heartbeat.report(report("p1", "Running"));
    await settle();
    const { sent } = h.last();
    assert.equal(sent.length, 2);
    assert.deepEqual(sent[1]?.pods, [report("p1", "Running"), report("p2", "Running")]);
    assert.equal(h.clock.monotonicMillis(), 0);
  });

  test("many reports are split over bounded messages", async () => {
    const h = await harness();
    const count = kubeletLimits.podReportsPerMessage * 2 + 1;
    for (let index = 0; index < count; index++) h.heartbeat.report(report(`p${index}`, "Running"));
    await settle();
    const sizes = h
      .last()
      .sent.slice(1)
      .map((request) => request.pods?.length);
    assert.deepEqual(sizes, [
      kubeletLimits.podReportsPerMessage,
      kubeletLimits.podReportsPerMessage,
      1,
    ]);
  });

  test("after a break it connects again, with growing pauses, and says everything again", async () => {
    const h = await harness();
    h.heartbeat.report(report("p1", "Running"));
    h.heartbeat.report(report("gone", "Running"));
    await settle();
    h.heartbeat.forget("gone");
    h.world.down = true;
    h.last().break();
    await settle();
    await h.clock.advance(10_000);
    const pauses = h.world.opens.slice(1, 8).map((at, index) => at - (h.world.opens[index] ?? 0));
    assert.deepEqual(pauses, [50, 100, 200, 400, 800, 1000, 1000]);
    h.world.down = false;
    await h.clock.advance(1_000);
    const [first] = h.last().sent;
    assert.equal(first?.sequence, 1);
    assert.deepEqual(first?.status, { phase: "a" });
    assert.deepEqual(first?.pods, [report("p1", "Running")]);
    assert.equal(first?.kubeletPort, 10250);
  });

  test("a report made while there is no stream is sent on the next", async () => {
    const h = await harness();
    h.world.down = true;
    h.last().break();
    await settle();
    h.heartbeat.report(report("p1", "Running"));
    h.world.down = false;
    await h.clock.advance(1_000);
    assert.deepEqual(h.last().sent[0]?.pods, [report("p1", "Running")]);
  });

  test("silence breaks the stream", async () => {
    const h = await harness();
    const [stream] = h.streams;
    await h.clock.advance(kubeletLimits.heartbeatAnswerMillis + 2_000);
    assert.equal(stream?.cancelled, true);
    assert.ok(h.streams.length >= 2);
  });

  test("an answered stream lives on", async () => {
    const h = await harness();
    for (let round = 0; round < 20; round++) {
      h.last().answer({ sequence: h.last().sent.length });
      await h.clock.advance(5_000);
    }
    assert.equal(h.streams.length, 1);
  });

  test("an unknown node registers and says everything again", async () => {
    const h = await harness();
    h.heartbeat.report(report("p1", "Running"));
    await settle();
    h.last().answer({ sequence: 2, registered: false });
    await settle();
    assert.equal(h.world.registered, 1);
    const again = h.last().sent.at(-1);
    assert.deepEqual([again?.status, again?.pods?.length], [{ phase: "a" }, 1]);
  });

  test("results are passed on; a failed write is sent again", async () => {
    const h = await harness();
    h.heartbeat.report(report("p1", "Running"));
    await settle();
    const name = { namespace: "d", name: "p1", uid: "p1" };
    h.last().answer({ sequence: 2, pods: [{ ...name, code: 503 }] });
    await settle();
    const before = h.last().sent.length;
    await h.clock.advance(kubeletLimits.reportRetryMillis);
    assert.deepEqual(h.last().sent[before]?.pods, [report("p1", "Running")]);
    h.last().answer({ sequence: 3, pods: [{ ...name, code: 200 }] });
    await settle();
    assert.deepEqual(
      h.results.map(({ code }) => code),
      [503, 200],
    );
  });

  test("an answer to an overtaken report is marked as such", async () => {
    const h = await harness();
    h.heartbeat.report(report("p1", "Running"));
    await settle();
    const name = { namespace: "d", name: "p1", uid: "p1" };
    h.heartbeat.report(report("p1", "Failed"));
    h.last().answer({ sequence: 2, pods: [{ ...name, code: 200 }] });
    await settle();
    h.last().answer({ sequence: 3, pods: [{ ...name, code: 200 }] });
    await settle();
    assert.deepEqual(h.latest, [false, true]);
  });

  test("the interval asked for is kept, within bounds", async () => {
    const h = await harness();
    h.last().answer({ sequence: 1, intervalMillis: 1 });
    await settle();
    const before = h.last().sent.length;
    await h.clock.advance(kubeletLimits.heartbeatMillisMin);
    assert.equal(h.last().sent.length, before + 1);
  });

  test("an own interval is kept, unless the apiserver asks for more often", async () => {
    const h = await harness(2_000);
    h.last().answer({ sequence: 1, intervalMillis: 5_000 });
    await settle();
    const before = h.last().sent.length;
    await h.clock.advance(2_000);
    assert.equal(h.last().sent.length, before + 1, "own: every 2 s");
    h.last().answer({ sequence: 2, intervalMillis: 1_000 });
    await settle();
    await h.clock.advance(1_000);
    assert.equal(h.last().sent.length, before + 2, "asked: every second");
  });

  test("it ends with its signal", async () => {
    const h = await harness();
    h.abort.abort();
    await h.ended;
    assert.equal(h.heartbeat.connected, false);
  });
});

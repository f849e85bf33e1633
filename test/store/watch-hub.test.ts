/** Watchers of all sorts against a random history: nothing lost, doubled or out of order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type DirectWatch,
  defaultWatchLimits,
  pageReader,
  type WatchBatch,
  WatchHub,
} from "../../ha/store/mod.ts";
import { bytes, does, Machine, put, remove, text } from "./harness.ts";

const keys = ["a", "a/1", "a/2", "b", "b/1"];
const ranges: readonly [string, string | undefined][] = [
  ["a", undefined],
  ["a/", "a0"],
  ["a", "b"],
  ["a/2", "\0"],
  ["b", undefined],
  ["a", "\0"],
];
type Step =
  | { kind: "write"; key: number; remove: boolean; twin: boolean }
  | { kind: "flush" }
  | {
      kind: "watch";
      range: number;
      back: number;
      previous: boolean;
      progress: boolean;
      only: number;
    }
  | { kind: "read"; watcher: number }
  | { kind: "ask progress"; watcher: number }
  | { kind: "compact" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("write" as const),
      key: fc.nat(4),
      remove: fc.boolean(),
      twin: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.constant({ kind: "flush" as const }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("watch" as const),
      range: fc.nat(5),
      back: fc.integer({ min: -4, max: 10 }),
      previous: fc.boolean(),
      progress: fc.boolean(),
      only: fc.nat(2),
    }),
  },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("read" as const), watcher: fc.nat(9) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("ask progress" as const), watcher: fc.nat(9) }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "compact" as const }) },
);

interface Watched {
  readonly stream: DirectWatch;
  readonly iterator: AsyncIterator<WatchBatch>;
  readonly request: Extract<Step, { kind: "watch" }>;
  readonly from: number;
  readonly seen: string[];
  pending: boolean;
  last: number;
  /** How often progress was asked for, and told. */
  asked: number;
  told: number;
  failure: string | undefined;
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Asks for the next batch and notes what came, now or later. */
function ask(watched: Watched): void {
  if (watched.pending || watched.failure !== undefined) return;
  watched.pending = true;
  watched.iterator.next().then(
    ({ value, done }) => {
      watched.pending = false;
      if (done) return;
      const progress = value.events.length === 0;
      if (progress) watched.told++;
      assert.ok(watched.told <= watched.asked || watched.request.progress, "nobody asked for it");
      for (const { type, kv, previous } of value.events) {
        assert.ok(kv.modRevision > watched.last, "a revision is not split");
        assert.ok(kv.modRevision <= value.revision);
        const before = watched.request.previous ? ` (${previous && text(previous.value)})` : "";
        watched.seen.push(`${kv.modRevision} ${type} ${text(kv.key)}=${text(kv.value)}${before}`);
      }
      const repeats = progress && watched.asked > 0 && value.revision === watched.last;
      assert.ok(value.revision > watched.last || repeats, "batches ascend");
      watched.last = value.revision;
    },
    (error: unknown) => {
      watched.pending = false;
      watched.failure = String(error);
    },
  );
}

test("every watcher sees its part of history once, in order", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 120, size: "max" }), async (steps) => {
      const machine = new Machine();
      const limits = {
        maxWatchers: 100,
        maxQueuedEvents: 3,
        maxQueuedBytes: 2000,
        maxHeldBytes: 4000,
        catchUpPageRecords: 2,
      };
      const hub = new WatchHub(machine.machine, pageReader(machine.disk), { limits });
      const watchers: Watched[] = [];
      /** [revision, type, key, value, previous] */
      const history: [number, string, string, string, string | undefined][] = [];
      const current = new Map<string, string>();
      let compacted = 0;
      const write = (at: Extract<Step, { kind: "write" }>) => {
        const revision = machine.machine.revision + 1;
        const names = at.twin ? [keys[at.key]!, `${keys[at.key]!}!`] : [keys[at.key]!];
        machine.txn(
          does(...names.map((name) => (at.remove ? remove(name) : put(name, `v${revision}`)))),
        );
        for (const name of names) {
          const previous = current.get(name);
          if (at.remove && previous === undefined) continue;
          if (at.remove) current.delete(name);
          else current.set(name, `v${revision}`);
          history.push([
            revision,
            at.remove ? "delete" : "put",
            name,
            at.remove ? "" : `v${revision}`,
            previous,
          ]);
        }
      };
      for (const at of steps) {
        if (at.kind === "write") write(at);
        else if (at.kind === "flush") hub.flush();
        else if (at.kind === "compact") {
          if (hub.revision > compacted) machine.compact(hub.revision);
          compacted = hub.revision;
        } else if (at.kind === "read") {
          const watched = watchers[at.watcher % Math.max(watchers.length, 1)];
          if (watched !== undefined) ask(watched);
          await turn();
        } else if (at.kind === "ask progress") {
          const watched = watchers[at.watcher % Math.max(watchers.length, 1)];
          if (watched !== undefined) watched.asked++;
          watched?.stream.requestProgress();
        } else {
          const startRevision = at.back === 10 ? undefined : Math.max(hub.revision - at.back, 1);
          const [start, end] = ranges[at.range]!;
          const stream = hub.watch({
            key: bytes(start),
            rangeEnd: end === undefined ? undefined : bytes(end),
            startRevision: startRevision as never,
            previous: at.previous,
            progress: at.progress,
            filters: at.only === 0 ? [] : at.only === 1 ? ["put"] : ["delete"],
          });
          const from = startRevision ?? hub.revision + 1;
          const iterator = stream[Symbol.asyncIterator]();
          watchers.push({
            stream,
            iterator,
            request: at,
            from,
            seen: [],
            pending: false,
            last: 0,
            asked: 0,
            told: 0,
            failure: undefined,
          });
        }
      }
      hub.flush();
      for (const watched of watchers) await drain(watched, hub);
      for (const watched of watchers) {
        if (watched.failure !== undefined) {
          assert.match(watched.failure, /has been compacted/);
          assert.ok(watched.from < compacted);
        }
        const owed = watched.asked > 0 && watched.failure === undefined;
        assert.ok(!owed || watched.told > 0, "progress is told");
        const expected = expectedOf(watched, history);
        const seen = watched.seen.map((line) => line.replace(/ \(.*/, ""));
        assert.deepEqual(seen, expected.slice(0, watched.failure ? seen.length : undefined));
        checkPrevious(watched, history);
        watched.stream.close();
      }
      assert.equal(hub.size, 0);
      assert.equal(hub.heldBytes, 0);
    }),
    { numRuns: 300 },
  );
});

/** Reads until nothing more comes: the watcher waits, and history has nothing for it. */
async function drain(watched: Watched, hub: WatchHub): Promise<void> {
  for (let idle = 0; idle < 4 + hub.revision; ) {
    const before = watched.seen.length + watched.last;
    ask(watched);
    await turn();
    await turn();
    idle = watched.seen.length + watched.last === before ? idle + 1 : 0;
    if (watched.failure !== undefined) return;
    if (watched.pending && idle > 2 + hub.revision) return;
  }
}

function expectedOf(
  watched: Watched,
  history: readonly [number, string, string, string, ...unknown[]][],
): string[] {
  const [start, end] = ranges[watched.request.range]!;
  const { only } = watched.request;
  return history
    .filter(([revision]) => revision >= watched.from)
    .filter(([, , key]) =>
      end === undefined ? key === start : key >= start && (end === "\0" || key < end),
    )
    .filter(([, type]) => only === 0 || (type === "put") !== (only === 1))
    .map(([revision, type, key, value]) => `${revision} ${type} ${key}=${value}`);
}

/** A previous value is right, or unknown because it was compacted. */
function checkPrevious(
  watched: Watched,
  history: readonly [number, string, string, string, string | undefined][],
): void {
  if (!watched.request.previous) return;
  const known = new Map(
    history.map(([revision, type, key, value, previous]) => [
      `${revision} ${type} ${key}=${value}`,
      previous,
    ]),
  );
  for (const line of watched.seen) {
    const [, event, previous] = /^(.*) \((.*)\)$/.exec(line)!;
    if (previous !== "undefined") assert.equal(previous, known.get(event!), line);
  }
}

test("watchers of the same range share one batch", async () => {
  const machine = new Machine();
  const hub = new WatchHub(machine.machine, pageReader(machine.disk));
  const request = { key: bytes("a"), rangeEnd: bytes("b") };
  const one = hub.watch(request)[Symbol.asyncIterator]();
  const other = hub.watch(request)[Symbol.asyncIterator]();
  machine.put("a", "1");
  machine.put("a", "2");
  hub.flush();
  const first = await one.next();
  assert.equal((await other.next()).value, first.value);
  assert.equal((first.value as WatchBatch).events.length, 2);
  hub.stop();
  await assert.rejects(one.next(), /server stopped/);
  assert.equal((await one.next()).done, true);
  await assert.rejects(hub.watch(request)[Symbol.asyncIterator]().next(), /server stopped/);
});

test("a watch is taken from without promises: told when there is something, and of the end", () => {
  const machine = new Machine();
  const hub = new WatchHub(machine.machine, pageReader(machine.disk));
  const watch = hub.watch({ key: bytes("a") });
  let told = 0;
  watch.onReady = () => {
    told++;
  };
  assert.equal(watch.take(), undefined);
  machine.put("a", "1");
  hub.flush();
  machine.put("a", "2");
  hub.flush();
  assert.equal(told, 1, "told once until it has been emptied");
  assert.equal(watch.take()?.revision, 2);
  assert.equal(watch.take()?.revision, 3);
  assert.equal(watch.take(), undefined);
  machine.put("b", "elsewhere");
  hub.flush();
  assert.equal(told, 1);
  watch.requestProgress();
  watch.requestProgress();
  assert.equal(told, 2);
  assert.deepEqual(watch.take(), { events: [], revision: 4 });
  assert.equal(watch.take(), undefined, "what is asked twice is told once");
  hub.stop();
  assert.equal(told, 3);
  assert.throws(() => watch.take(), /server stopped/);
  assert.equal(watch.take(), undefined);
});

test("what all watchers have queued is bounded; beyond, each gets the rest from history", async () => {
  const machine = new Machine();
  const value = "v".repeat(900);
  const limits = { ...defaultWatchLimits, maxHeldBytes: 20_000 };
  const hub = new WatchHub(machine.machine, pageReader(machine.disk), { limits });
  const watches = Array.from({ length: 10 }, () => hub.watch({ key: bytes("a") }));
  for (let n = 0; n < 30; n++) {
    machine.put("a", `${n}${value}`);
    hub.flush();
  }
  // Each may be given one batch, and who has none before gets it, however much is held.
  assert.ok(hub.heldBytes < 20_000 + 10 * 1_100, `${hub.heldBytes} bytes are held`);
  for (const watch of watches) {
    const iterator = watch[Symbol.asyncIterator]();
    const seen: number[] = [];
    while (seen.length < 30) {
      const { value: batch } = await iterator.next();
      for (const { kv } of batch?.events ?? []) seen.push(kv.version);
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 30 }, (_, n) => n + 1),
    );
    watch.close();
  }
  assert.equal(hub.heldBytes, 0);
});

test("a watch of a revision to come tells progress, and nothing before its start", () => {
  const machine = new Machine();
  const hub = new WatchHub(machine.machine, pageReader(machine.disk));
  const watch = hub.watch({ key: bytes("a"), startRevision: 4 as never });
  watch.requestProgress();
  assert.deepEqual(watch.take(), { events: [], revision: 1 });
  for (const value of ["1", "2", "3"]) {
    machine.put("a", value);
    hub.flush();
  }
  assert.deepEqual(
    watch.take()?.events.map(({ kv }) => text(kv.value)),
    ["3"],
  );
  assert.equal(watch.take(), undefined);
});

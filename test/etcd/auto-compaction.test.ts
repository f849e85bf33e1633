/** History goes by itself, as the flags of `trireme store` say. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AutoCompaction, type Retention, readRetention } from "../../ha/etcd/mod.ts";
import type { MemberStatus, Revision, Store } from "../../ha/store/types.ts";
import { quietLog } from "../apiserver/harness.ts";
import { FakeClock } from "../client/fake-clock.ts";

const minute = 60_000;
const hour = 60 * minute;

/** A store that is written to once a minute. */
function world(retention: Retention, role: MemberStatus["role"] = "leader") {
  const clock = new FakeClock();
  const compacted: [minute: number, revision: number][] = [];
  let tell: (status: MemberStatus) => void = () => {};
  let broken = false;
  const now = () => clock.monotonicMillis() / minute;
  const status = (as: MemberStatus["role"]) =>
    ({ role: as, revision: 1_000 + Math.floor(now()) }) as MemberStatus;
  const store: Pick<Store, "compact" | "status" | "onStatus"> = {
    compact: (revision) => {
      if (broken) return Promise.reject(new Error("etcdserver: request timed out"));
      compacted.push([now(), revision - 1_000]);
      return Promise.resolve(revision as Revision);
    },
    status: () => Promise.resolve(status(role)),
    onStatus: (listener) => {
      tell = listener;
      listener(status(role));
      return () => {};
    },
  };
  const compaction = new AutoCompaction({ store, clock, log: quietLog, retention });
  return {
    ...{ clock, compacted, compaction },
    leads: (as: MemberStatus["role"]) => tell(status(as)),
    breaks: (value: boolean) => {
      broken = value;
    },
  };
}

test("periodic: what is older than the retention goes, once a retention up to an hour", async () => {
  const { clock, compacted, compaction } = world({ mode: "periodic", millis: 10 * minute });
  await clock.advance(31 * minute);
  // The first look is one minute after the start.
  assert.deepEqual(compacted, [
    [11, 1],
    [21, 11],
    [31, 21],
  ]);
  compaction.close();
  assert.equal(clock.timers, 0);
  const long = world({ mode: "periodic", millis: 3 * hour });
  await long.clock.advance(5.2 * hour);
  assert.deepEqual(
    long.compacted.map(([at, revision]) => [at, at - revision]),
    [
      [186, 180],
      [246, 180],
      [306, 180],
    ],
  );
});

test("revision: all but so many of the last, every five minutes", async () => {
  const { clock, compacted } = world({ mode: "revision", revisions: 1_002 });
  await clock.advance(16 * minute);
  assert.deepEqual(
    compacted,
    [
      [5, 3],
      [10, 8],
      [15, 13],
    ].map(([at = 0, revision = 0]) => [at, revision - 1_000]),
  );
});

test("who does not lead compacts nothing, and has looked back when it does", async () => {
  const { clock, compacted, leads } = world({ mode: "periodic", millis: 10 * minute }, "follower");
  await clock.advance(30 * minute);
  assert.deepEqual(compacted, []);
  leads("leader");
  await clock.advance(1 * minute);
  assert.deepEqual(compacted, [[31, 21]]);
});

test("a compaction that fails is tried again at the next look", async () => {
  const { clock, compacted, breaks } = world({ mode: "periodic", millis: 10 * minute });
  breaks(true);
  await clock.advance(15 * minute);
  breaks(false);
  await clock.advance(1 * minute);
  assert.deepEqual(compacted, [[16, 6]]);
});

test("the flags are read as etcd reads them", () => {
  assert.equal(readRetention("periodic", "0"), undefined);
  assert.deepEqual(readRetention("periodic", "2"), { mode: "periodic", millis: 2 * hour });
  assert.deepEqual(readRetention("periodic", "1h30m"), { mode: "periodic", millis: 1.5 * hour });
  assert.deepEqual(readRetention("revision", "1000"), { mode: "revision", revisions: 1_000 });
  const wrong = [
    ["often", "1"],
    ["revision", "5m"],
    ["periodic", "soon"],
    ["periodic", "-1"],
    ["periodic", "0s"],
  ] as const;
  for (const [mode, text] of wrong) {
    assert.throws(() => readRetention(mode, text), /--auto-compaction-(mode|retention) "/);
  }
});

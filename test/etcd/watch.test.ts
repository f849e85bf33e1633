import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import type { DirectStore } from "../../ha/store/mod.ts";
import type { WatchCreateRequest, WatchResponse } from "../../proto/gen/etcd.ts";
import { eventually } from "../patience.ts";
import { b, call, type Face, openFace, put, refused } from "./support.ts";

const openEnd = Buffer.of(0);

/** A client's end of one Watch stream. */
class Stream {
  readonly responses: WatchResponse[] = [];
  error: ServiceError | undefined;
  private readonly call;

  constructor(face: Face, headers: Record<string, string> = {}) {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    this.call = face.watch.watch(metadata);
    this.call.on("data", (response: WatchResponse) => this.responses.push(response));
    this.call.on("error", (error: ServiceError) => {
      this.error = error;
    });
  }

  create(request: WatchCreateRequest): void {
    this.call.write({ requestUnion: { $case: "createRequest", value: request } });
  }

  cancel(watchId: bigint): void {
    this.call.write({ requestUnion: { $case: "cancelRequest", value: { watchId } } });
  }

  askProgress(): void {
    this.call.write({ requestUnion: { $case: "progressRequest", value: {} } });
  }

  pause(): void {
    this.call.pause();
  }

  resume(): void {
    this.call.resume();
  }

  /** The first response that fits, once it has come. */
  async response(what: string, fits: (response: WatchResponse) => boolean): Promise<WatchResponse> {
    let found: WatchResponse | undefined;
    await eventually(what, () => {
      found = this.responses.find(fits);
      return found !== undefined;
    });
    return found!;
  }

  created(watchId: bigint | undefined): Promise<WatchResponse> {
    return this.response(
      `watch ${watchId} created`,
      (response) => response.created === true && response.watchId === watchId,
    );
  }

  /** All events of a watch so far: `+key=value` or `-key`, with `<previous`. */
  events(watchId?: bigint): string {
    return this.responses
      .filter((response) => response.watchId === watchId)
      .flatMap((response) => response.events ?? [])
      .map(({ type, kv, prevKv }) => {
        const event = type === 1 ? `-${kv?.key}` : `+${kv?.key}=${kv?.value}`;
        return prevKv === undefined ? event : `${event}<${prevKv.value}`;
      })
      .join(" ");
  }

  async shows(events: string, watchId?: bigint): Promise<void> {
    try {
      await eventually(events, () => this.events(watchId) === events);
    } catch {
      assert.equal(this.events(watchId), events);
    }
  }

  async end(): Promise<void> {
    this.call.cancel();
    await eventually("the stream's end", () => this.error !== undefined);
  }
}

const remove = (face: Face, key: string) => call(face.kv, face.kv.deleteRange, { key: b(key) });

describe("Watch", () => {
  let face: Face;
  before(async () => {
    face = await openFace();
  });
  after(() => face.close());

  test("several watches of one stream: each its own range, options and events", async () => {
    const stream = new Stream(face);
    stream.create({ key: b("a/"), rangeEnd: b("a0") });
    const created = await stream.created(undefined);
    assert.ok((created.header?.revision ?? 0n) >= 1n);
    stream.create({ key: b("a/2"), prevKv: true });
    await stream.created(1n);
    stream.create({ key: b("a/"), rangeEnd: b("a0"), filters: [0], watchId: 7n });
    await stream.created(7n);
    stream.create({ key: b("a/"), rangeEnd: b("a0"), filters: [1], watchId: 8n });
    await stream.created(8n);
    await put(face, "a/1", "x");
    await put(face, "a/2", "y");
    await put(face, "b", "elsewhere");
    await put(face, "a/2", "z");
    const deleted = await remove(face, "a/2");
    await stream.shows("+a/1=x +a/2=y +a/2=z -a/2");
    await stream.shows("+a/2=y +a/2=z<y -a/2<z", 1n);
    await stream.shows("-a/2", 7n);
    await stream.shows("+a/1=x +a/2=y +a/2=z", 8n);
    const last = stream.responses.find(({ events }) => events?.at(-1)?.type === 1)!;
    assert.equal(last.events?.at(-1)?.kv?.modRevision, deleted.header?.revision);
    assert.equal(last.events?.at(-1)?.kv?.value, undefined);
    await stream.end();
  });

  test("ids: chosen, assigned around the chosen ones, refused when taken", async () => {
    const stream = new Stream(face);
    stream.create({ key: b("i"), watchId: 1n });
    stream.create({ key: b("i") });
    stream.create({ key: b("i") });
    await stream.created(2n);
    assert.deepEqual(
      stream.responses.map(({ watchId }) => watchId ?? 0n),
      [1n, 0n, 2n],
    );
    stream.create({ key: b("i"), watchId: 1n });
    const refusal = await stream.created(-1n);
    assert.equal(refusal.canceled, true);
    assert.equal(refusal.cancelReason, "mvcc: duplicate watch ID provided on the WatchStream");
    await stream.end();
  });

  test("what cannot be watched is refused, and the stream goes on", async () => {
    const stream = new Stream(face);
    stream.create({ key: b("b"), rangeEnd: b("a") });
    stream.create({ key: b("b"), startRevision: -1n });
    stream.create({ key: b("\0trireme/auth/"), rangeEnd: b("\0trireme/auth0") });
    stream.create({ key: b("b") });
    await stream.created(undefined);
    assert.deepEqual(
      stream.responses.map(({ watchId, canceled, cancelReason }) => [
        watchId,
        canceled,
        cancelReason,
      ]),
      [
        [-1n, true, "mvcc: watcher range is empty"],
        [-1n, true, "etcdserver: mvcc: required revision has been compacted"],
        [-1n, true, "rpc error: code = PermissionDenied desc = etcdserver: permission denied"],
        [undefined, undefined, undefined],
      ],
    );
    await stream.end();
  });

  test("from the past, across every revision since", async () => {
    const first = await put(face, "past", "1");
    await put(face, "past", "2");
    await remove(face, "past");
    const stream = new Stream(face);
    stream.create({ key: b("past"), startRevision: first.header!.revision! });
    await stream.shows("+past=1 +past=2 -past");
    await put(face, "past", "3");
    await stream.shows("+past=1 +past=2 -past +past=3");
    await stream.end();
  });

  test("from a revision to come: what is before it is not shown", async () => {
    const now = await put(face, "future", "0");
    const stream = new Stream(face);
    stream.create({ key: b("future"), startRevision: now.header!.revision! + 3n });
    await stream.created(undefined);
    for (const value of ["1", "2", "3", "4"]) await put(face, "future", value);
    await stream.shows("+future=3 +future=4");
    await stream.end();
  });

  test("a cancelled watch ends, and its id can be used again", async () => {
    const stream = new Stream(face);
    stream.create({ key: b("gone"), watchId: 5n });
    await stream.created(5n);
    stream.cancel(5n);
    const canceled = await stream.response("canceled", (response) => response.canceled === true);
    assert.equal(canceled.watchId, 5n);
    await put(face, "gone", "unseen");
    stream.create({ key: b("gone"), watchId: 5n });
    await eventually("created again", () => stream.responses.length === 3);
    await put(face, "gone", "seen");
    await stream.shows("+gone=seen", 5n);
    stream.cancel(99n);
    await stream.end();
  });

  test("no key stands for the first there can be; reserved keys stay out of sight", async () => {
    const stream = new Stream(face);
    stream.create({ rangeEnd: openEnd });
    await stream.created(undefined);
    await call(face.auth, face.auth.roleAdd, { name: "unseen" });
    await put(face, "seen", "1");
    await stream.shows("+seen=1");
    await stream.end();
  });

  test("a compacted start cancels the watch and says where history begins", async () => {
    const first = await put(face, "old", "1");
    const second = await put(face, "old", "2");
    await call(face.kv, face.kv.compact, { revision: second.header!.revision! });
    const stream = new Stream(face);
    stream.create({ key: b("old"), startRevision: first.header!.revision! });
    const canceled = await stream.response("canceled", (response) => response.canceled === true);
    assert.equal(stream.responses[0]?.created, true);
    assert.equal(canceled.compactRevision, second.header?.revision);
    // As etcd: no reason and no revision.
    assert.equal(canceled.cancelReason, undefined);
    assert.equal(canceled.header?.revision, undefined);
    stream.create({ key: b("old"), startRevision: second.header!.revision! });
    await stream.shows("+old=2", 1n);
    await stream.end();
  });

  test("a progress request is answered for all watches at once", async () => {
    const stream = new Stream(face);
    stream.askProgress();
    stream.create({ key: b("p/"), rangeEnd: b("p0") });
    stream.create({ key: b("nothing ever") });
    await stream.created(1n);
    await put(face, "p/1", "1");
    const latest = await put(face, "q", "1");
    stream.askProgress();
    const progress = await stream.response("progress", ({ watchId }) => watchId === -1n);
    assert.ok(progress.header!.revision! >= latest.header!.revision!);
    assert.equal(stream.events(), "+p/1=1", "what it covers has been shown before");
    assert.equal(progress.events, undefined);
    await put(face, "p/2", "2");
    await stream.shows("+p/1=1 +p/2=2");
    const later = await put(face, "q", "2");
    stream.askProgress();
    await stream.response(
      "more progress",
      ({ watchId, header }) => watchId === -1n && header!.revision! >= later.header!.revision!,
    );
    await stream.shows("+p/1=1 +p/2=2");
    await stream.end();
  });

  test("a watch that compaction has passed while it was idle tells progress, too", async () => {
    const stream = new Stream(face);
    stream.create({ key: b("nothing ever") });
    await stream.created(undefined);
    await put(face, "p/3", "1");
    const latest = await put(face, "p/3", "2");
    await call(face.kv, face.kv.compact, { revision: latest.header!.revision! });
    stream.askProgress();
    const progress = await stream.response("progress", ({ watchId }) => watchId === -1n);
    assert.equal(progress.header?.revision, latest.header?.revision);
    await stream.end();
  });

  test("a watch of a revision to come tells progress up to the present", async () => {
    const now = (await put(face, "present", "1")).header!.revision!;
    const stream = new Stream(face);
    stream.create({ key: b("future"), startRevision: now + 100n });
    await stream.created(undefined);
    stream.askProgress();
    const progress = await stream.response("progress", ({ watchId }) => watchId === -1n);
    assert.equal(progress.header?.revision, now);
    await stream.end();
  });

  test("a thousand watches of one stream each get every event once, under their own id", async () => {
    const stream = new Stream(face);
    const odd = [-5n, 1n << 40n, 0x7fff_ffffn, 0x7fff_fffen];
    for (const watchId of odd) stream.create({ key: b("crowd"), watchId });
    for (let n = odd.length; n < 1_000; n++) stream.create({ key: b("crowd") });
    await eventually("all are created", () => stream.responses.length === 1_000);
    const ids = stream.responses.map(({ watchId }) => watchId ?? 0n);
    assert.equal(new Set(ids).size, 1_000);
    stream.responses.length = 0;
    // Small ones are copied into the stream's pieces, large ones are sent as they are.
    const sizes = [10, 300, 5_000, 70_000];
    const values = sizes.map((size) => Buffer.alloc(size, `${size}`));
    const revisions: bigint[] = [];
    for (const value of values) {
      const { header } = await call(face.kv, face.kv.put, { key: b("crowd"), value });
      revisions.push(header!.revision!);
    }
    const told = () => stream.responses.flatMap(({ events }) => events ?? []).length;
    await eventually("all have heard", () => told() === 4_000);
    const seen = new Map(ids.map((id) => [id, 0]));
    for (const { watchId = 0n, header, events } of stream.responses) {
      for (const { kv } of events!) {
        const index = seen.get(watchId)!;
        assert.equal(kv!.modRevision, revisions[index]);
        assert.ok(kv!.value!.equals(values[index]!));
        assert.ok(header!.revision! >= revisions[index]!);
        seen.set(watchId, index + 1);
      }
    }
    await stream.end();
  });

  test("a watch of a past start tells progress only when it has shown the past", async () => {
    const first = await put(face, "slow", "0");
    for (let value = 1; value < 300; value++) await put(face, "slow", `${value}`);
    const stream = new Stream(face);
    stream.create({ key: b("slow"), startRevision: first.header!.revision! });
    stream.askProgress();
    await stream.response("progress", ({ watchId }) => watchId === -1n);
    assert.equal(stream.events().split(" ").length, 300);
    await stream.end();
  });

  test("a stream that is closed closes its watches", async () => {
    const stream = new Stream(face);
    stream.create({ key: b("closing"), progressNotify: true });
    await stream.created(undefined);
    await stream.end();
    assert.equal(stream.error?.code, status.CANCELLED);
  });

  test("a client that closes its side only goes on listening", async () => {
    const inner = face.watch.watch();
    const seen: WatchResponse[] = [];
    inner.on("data", (response: WatchResponse) => seen.push(response));
    inner.on("error", () => {});
    inner.write({ requestUnion: { $case: "createRequest", value: { key: b("half") } } });
    inner.end();
    await eventually("created", () => seen.length === 1);
    await put(face, "half", "1");
    await eventually("an event", () => seen.length === 2);
    inner.cancel();
  });
});

test("an idle watch with progress_notify is told how far it has come", async (t) => {
  const face = await openFace({ progressMillis: 20 });
  t.after(() => face.close());
  const stream = new Stream(face);
  stream.create({ key: b("idle"), progressNotify: true });
  stream.create({ key: b("quiet") });
  await stream.created(1n);
  const elsewhere = await put(face, "elsewhere", "1");
  const told = await stream.response(
    "a notification",
    ({ watchId, created, header }) =>
      watchId === undefined && created !== true && header!.revision! >= elsewhere.header!.revision!,
  );
  assert.equal(told.events, undefined);
  assert.equal(stream.responses.filter(({ watchId }) => watchId === 1n).length, 1);
  await stream.end();
});

test("a large batch is cut between revisions, and with fragment also within one", async (t) => {
  const face = await openFace({ watchResponseBytes: 1000 });
  t.after(() => face.close());
  const value = Buffer.alloc(400, "v");
  const first = await put(face, "big", "start");
  for (let i = 0; i < 6; i++) await call(face.kv, face.kv.put, { key: b(`big${i}`), value });
  const success = [0, 1, 2, 3, 4, 5].map((i) => ({
    request: { $case: "requestPut" as const, value: { key: b(`big/${i}`), value } },
  }));
  const txn = await call(face.kv, face.kv.txn, { success });
  const revision = txn.header!.revision!;
  const range = { key: b("big"), rangeEnd: b("bih"), startRevision: first.header!.revision! };

  const whole = new Stream(face);
  whole.create(range);
  await eventually("all", () => whole.events().split(" ").length === 13);
  const pieces = whole.responses.filter(({ created }) => !created);
  assert.ok(pieces.length >= 3);
  assert.ok(pieces.every(({ fragment }) => fragment !== true));
  const ofTxn = pieces.filter(({ events }) =>
    events!.some(({ kv }) => kv!.modRevision === revision),
  );
  assert.equal(ofTxn.length, 1, "one revision is one response");

  const cut = new Stream(face);
  cut.create({ ...range, fragment: true });
  await eventually("all", () => cut.events().split(" ").length === 13);
  assert.equal(cut.events(), whole.events());
  const fragments = cut.responses.filter(({ fragment }) => fragment === true);
  assert.ok(fragments.length >= 2);
  for (const { events } of fragments) assert.equal(events!.at(-1)!.kv!.modRevision, revision);
  assert.ok(!cut.responses.at(-1)!.fragment, "the last fragment is not marked");
  await whole.end();
  await cut.end();
});

test("a client that does not read gets everything when it does", async (t) => {
  const watchLimits = {
    maxWatchers: 10,
    maxQueuedEvents: 4,
    maxQueuedBytes: 64 * 1024,
    maxHeldBytes: 1024 * 1024,
    catchUpPageRecords: 8,
  };
  const face = await openFace({ watchLimits });
  t.after(() => face.close());
  const stream = new Stream(face);
  stream.create({ key: b("k") });
  await stream.created(undefined);
  stream.pause();
  const value = Buffer.alloc(32 * 1024, "x");
  for (let i = 0; i < 64; i++) await call(face.kv, face.kv.put, { key: b("k"), value });
  stream.resume();
  const versions = () =>
    stream.responses.flatMap(({ events }) => events ?? []).map(({ kv }) => Number(kv!.version));
  await eventually("all", () => versions().length === 64);
  assert.deepEqual(
    versions(),
    Array.from({ length: 64 }, (_, i) => i + 1),
  );
  await stream.end();
});

test("watches of one stream are bounded", async (t) => {
  const face = await openFace({ watchesPerStream: 2 });
  t.after(() => face.close());
  const stream = new Stream(face);
  for (let i = 0; i < 3; i++) stream.create({ key: b("k") });
  const refusal = await stream.created(-1n);
  assert.equal(
    refusal.cancelReason,
    "etcdserver: the stream has 2 watches already, more are not allowed",
  );
  await stream.end();
});

test("a member that goes away ends its streams with unavailable", async (t) => {
  const face = await openFace();
  t.after(() => face.close());
  const stream = new Stream(face);
  stream.create({ key: b("k") });
  await stream.created(undefined);
  await face.store.close();
  await eventually("the end", () => stream.error !== undefined);
  assert.equal(stream.error?.code, status.UNAVAILABLE);
});

test("calls that require a leader are refused without one, and such streams end", async (t) => {
  let tell: (led: boolean) => void = () => {};
  const wrap = (store: DirectStore): DirectStore => {
    const wrapped: DirectStore = Object.create(store);
    wrapped.onStatus = (listener) =>
      store.onStatus((present) => {
        tell = (led) => listener({ ...present, leader: led ? present.leader : undefined });
        tell(true);
      });
    for (const name of ["range", "txn", "watch", "status", "readRevision"] as const) {
      wrapped[name] = (store[name] as () => never).bind(store);
    }
    return wrapped;
  };
  const face = await openFace({ wrap, leaderLossMillis: 30 });
  t.after(() => face.close());
  const stream = new Stream(face, { hasleader: "true" });
  stream.create({ key: b("k"), startRevision: 2n });
  await stream.created(undefined);
  tell(false);
  const noLeader = "etcdserver: no leader";
  const request = { key: b("k"), serializable: true };
  const asked = call(face.kv, face.kv.range, request, { hasleader: "true" });
  await refused(asked, status.UNAVAILABLE, noLeader);
  await call(face.kv, face.kv.range, request);
  await eventually("the end", () => stream.error !== undefined);
  assert.equal(stream.error?.details, noLeader);
});

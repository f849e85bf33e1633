import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { status } from "@grpc/grpc-js";
import type { LeaderKey, LeaderResponse } from "../../proto/gen/etcd_election.ts";
import { eventually } from "../patience.ts";
import { b, call, type Face, openFace, put, refused, shown } from "./support.ts";

describe("Lock and Election", () => {
  let face: Face;
  before(async () => {
    face = await openFace();
  });
  after(() => face.close());

  const grant = async (ID: bigint, TTL = 60n) => {
    await call(face.lease, face.lease.leaseGrant, { ID, TTL });
    return ID;
  };
  const lock = (name: string, lease: bigint) =>
    call(face.lock, face.lock.lock, { name: b(name), lease });
  const unlock = (key: Buffer | undefined) => call(face.lock, face.lock.unlock, { key: key! });
  const keysOf = async (name: string) => {
    const range = { key: b(`${name}/`), rangeEnd: b(`${name}0`), keysOnly: true };
    const { kvs } = await call(face.kv, face.kv.range, range);
    return (kvs ?? []).map(({ key }) => String(key)).join(" ");
  };
  const waits = async (promise: Promise<unknown>, name: string, keys: number) => {
    await eventually("the key in the queue", async () => {
      return (await keysOf(name)).split(" ").length === keys;
    });
    const first = await Promise.race([promise.then(() => "done"), put(face, "turn", "x")]);
    assert.notEqual(first, "done", "it is not its turn yet");
  };

  test("a lock is held by one after the other, in the order of their coming", async () => {
    await grant(0xa1n);
    await grant(0xa2n);
    await grant(0xa3n);
    const first = await lock("l", 0xa1n);
    assert.equal(String(first.key), "l/a1");
    assert.equal(String((await lock("l", 0xa1n)).key), "l/a1", "locking twice changes nothing");
    const second = lock("l", 0xa2n);
    await waits(second, "l", 2);
    const third = lock("l", 0xa3n);
    await waits(third, "l", 3);
    await unlock(first.key);
    assert.equal(String((await second).key), "l/a2");
    await call(face.lease, face.lease.leaseRevoke, { ID: 0xa2n });
    assert.equal(String((await third).key), "l/a3", "the end of a lease unlocks");
    await unlock((await third).key);
    assert.equal(await keysOf("l"), "");
  });

  test("whoever stops waiting leaves the queue", async () => {
    await grant(0xb1n);
    await grant(0xb2n);
    const first = await lock("q", 0xb1n);
    const second = lock("q", 0xb2n);
    await waits(second, "q", 2);
    second.cancel();
    await assert.rejects(second, { code: status.CANCELLED });
    await eventually("its key gone", async () => (await keysOf("q")) === "q/b1");
    await unlock(first.key);
  });

  test("a waiting caller whose lease ends is told so", async () => {
    await grant(0xc1n);
    await grant(0xc2n);
    const first = await lock("e", 0xc1n);
    const second = lock("e", 0xc2n);
    await waits(second, "e", 2);
    await call(face.lease, face.lease.leaseRevoke, { ID: 0xc2n });
    await unlock(first.key);
    await refused(second, status.UNKNOWN, "mutex: session is expired");
  });

  test("without a lease one is made; with one that does not exist there is no lock", async () => {
    const { key } = await lock("own", 0n);
    const { kvs } = await call(face.kv, face.kv.range, { key: key! });
    const lease = kvs![0]!.lease!;
    assert.equal(String(key), `own/${lease.toString(16)}`);
    const left = await call(face.lease, face.lease.leaseTimeToLive, { ID: lease });
    assert.equal(left.grantedTTL, 60n);
    await refused(lock("own", 999n), status.NOT_FOUND, "etcdserver: requested lease not found");
    await unlock(key);
  });

  const campaign = (name: string, lease: bigint, value: string) =>
    call(face.election, face.election.campaign, { name: b(name), lease, value: b(value) });
  const leader = (name: string) => call(face.election, face.election.leader, { name: b(name) });
  const proclaim = (key: LeaderKey | undefined, value: string) =>
    call(face.election, face.election.proclaim, { leader: key, value: b(value) });
  const resign = (key: LeaderKey | undefined) =>
    call(face.election, face.election.resign, { leader: key });

  test("candidates lead one after the other; observers see every value", async () => {
    await refused(leader("vote"), status.UNKNOWN, "election: no leader");
    const seen: string[] = [];
    const observed = face.election.observe({ name: b("vote") });
    observed.on("data", ({ kv }: LeaderResponse) => seen.push(shown([kv!])));
    observed.on("error", () => {});
    await grant(0xd1n);
    await grant(0xd2n);
    const first = await campaign("vote", 0xd1n, "one");
    assert.equal(String(first.leader?.key), "vote/d1");
    assert.equal(first.leader?.lease, 0xd1n);
    await eventually("the first leader", () => seen.at(-1) === "vote/d1=one");
    const second = campaign("vote", 0xd2n, "two");
    await waits(second, "vote", 2);
    await proclaim(first.leader, "uno");
    assert.equal(shown([(await leader("vote")).kv!]), "vote/d1=uno");
    await eventually("the new value", () => seen.at(-1) === "vote/d1=uno");
    const again = await campaign("vote", 0xd1n, "eins");
    assert.deepEqual(again.leader, first.leader, "a leader that campaigns goes on leading");
    await eventually("the newest value", () => seen.at(-1) === "vote/d1=eins");
    await resign(first.leader);
    const next = await second;
    await eventually("the second leader", () => seen.at(-1) === "vote/d2=two");
    await refused(proclaim(first.leader, "late"), status.UNKNOWN, "election: not leader");
    await resign(first.leader);
    assert.equal(shown([(await leader("vote")).kv!]), "vote/d2=two", "only one's own is resigned");
    await resign(next.leader);
    await refused(leader("vote"), status.UNKNOWN, "election: no leader");
    assert.deepEqual(seen, ["vote/d1=one", "vote/d1=uno", "vote/d1=eins", "vote/d2=two"]);
    observed.cancel();
  });

  test("a candidate that goes away leaves the queue; one without a key is refused", async () => {
    await grant(0xe1n);
    await grant(0xe2n);
    const first = await campaign("leave", 0xe1n, "one");
    const second = campaign("leave", 0xe2n, "two");
    await waits(second, "leave", 2);
    second.cancel();
    await assert.rejects(second, { code: status.CANCELLED });
    await eventually("its key gone", async () => (await keysOf("leave")) === "leave/e1");
    await resign(first.leader);
    const missing = '"leader" field must be provided';
    await refused(resign(undefined), status.UNKNOWN, missing);
    await refused(proclaim(undefined, "x"), status.UNKNOWN, missing);
  });
});

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { status } from "@grpc/grpc-js";
import type { LeaseKeepAliveResponse } from "../../proto/gen/etcd.ts";
import { eventually } from "../patience.ts";
import { b, call, type Face, openFace, refused, shown } from "./support.ts";

describe("Lease", () => {
  let face: Face;
  before(async () => {
    face = await openFace();
  });
  after(() => face.close());

  const grant = (ID: bigint, TTL: bigint) => call(face.lease, face.lease.leaseGrant, { ID, TTL });

  test("granted with a chosen id or one of the store's, for a second at least", async () => {
    const chosen = await grant(-77n, 60n);
    assert.equal(chosen.ID, -77n);
    assert.equal(chosen.TTL, 60n);
    assert.ok(chosen.header!.revision! >= 1n);
    const assigned = await grant(0n, -5n);
    assert.ok(assigned.ID! > 0n);
    assert.equal(assigned.TTL, 1n);
    await refused(grant(-77n, 60n), status.FAILED_PRECONDITION, "etcdserver: lease already exists");
    await refused(
      grant(0n, 9_000_000_001n),
      status.OUT_OF_RANGE,
      "etcdserver: too large lease TTL",
    );
  });

  test("its time to live, with keys when asked; one that never was has none", async () => {
    await grant(100n, 60n);
    const key = b("leased");
    await call(face.kv, face.kv.put, { key, value: b("1"), lease: 100n });
    const plain = await call(face.lease, face.lease.leaseTimeToLive, { ID: 100n });
    assert.equal(plain.grantedTTL, 60n);
    assert.ok(plain.TTL! > 50n && plain.TTL! <= 60n);
    assert.equal(plain.keys, undefined);
    const full = await call(face.lease, face.lease.leaseTimeToLive, { ID: 100n, keys: true });
    assert.deepEqual(full.keys?.map(String), ["leased"]);
    const none = await call(face.lease, face.lease.leaseTimeToLive, { ID: 101n, keys: true });
    assert.equal(none.TTL, -1n);
    assert.equal(none.grantedTTL, undefined);
    const { leases } = await call(face.lease, face.lease.leaseLeases, {});
    assert.ok(leases?.some(({ ID }) => ID === 100n));
  });

  test("revoked, it takes its keys along", async () => {
    await grant(200n, 60n);
    const key = b("revoked");
    await call(face.kv, face.kv.put, { key, value: b("1"), lease: 200n });
    await call(face.lease, face.lease.leaseRevoke, { ID: 200n });
    const read = await call(face.kv, face.kv.range, { key });
    assert.equal(shown(read.kvs), "");
    await refused(
      call(face.lease, face.lease.leaseRevoke, { ID: 200n }),
      status.NOT_FOUND,
      "etcdserver: requested lease not found",
    );
  });

  test("kept alive on a stream; one that does not exist has no time left", async () => {
    await grant(300n, 60n);
    const stream = face.lease.leaseKeepAlive();
    const answers: LeaseKeepAliveResponse[] = [];
    let ended = false;
    stream.on("data", (answer: LeaseKeepAliveResponse) => answers.push(answer));
    stream.on("end", () => {
      ended = true;
    });
    stream.write({ ID: 300n });
    stream.write({ ID: 301n });
    stream.end();
    await eventually("the end", () => ended);
    assert.deepEqual(
      answers.map(({ ID, TTL }) => [ID, TTL ?? 0n]),
      [
        [300n, 60n],
        [301n, 0n],
      ],
    );
  });

  test("not kept alive, it ends by itself", async () => {
    await grant(400n, 1n);
    const key = b("expiring");
    await call(face.kv, face.kv.put, { key, value: b("1"), lease: 400n });
    await eventually("the key's end", async () => {
      const { count } = await call(face.kv, face.kv.range, { key });
      return count === undefined;
    });
  });
});

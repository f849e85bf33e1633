/** The administration of real members: LevelDB, libp2p, one thread each. */
import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { StoreAdmin } from "../../ha/etcd/mod.ts";
import {
  openMemberWorker,
  type WorkerMember,
  type WorkerMemberOptions,
} from "../../ha/member/mod.ts";
import { call, connect, serverStreamIterable } from "../../ha/rpc/mod.ts";
import { loadOrCreateIdentity } from "../../ha/runtime/production/mod.ts";
import { parseFlags } from "../../ha/runtime/production/process.ts";
import { ClusterClient, KVClient, MaintenanceClient } from "../../proto/gen/etcd.ts";
import { readBackup, writeBackup } from "../../services/cli/commands/backup-file.ts";
import { program } from "../../services/cli/commands/store.ts";
import { storeFlags } from "../../services/cli/commands/store-flags.ts";
import { eventually } from "../patience.ts";
import { freePort } from "../ports.ts";
import { openRealCluster, type RealCluster, silentLog } from "./real-cluster.ts";
import { bytes, put, textAt } from "./requests.ts";

describe("the administration of a real cluster", () => {
  let cluster: RealCluster;
  const [first, second] = [0, 1];

  before(async () => {
    cluster = await openRealCluster(3);
  });
  after(() => cluster.close());

  async function leaderOf(members: readonly WorkerMember[]): Promise<WorkerMember> {
    const statuses = await Promise.all(members.map((member) => member.status()));
    const at = statuses.findIndex(({ role }) => role === "leader");
    assert.ok(at >= 0, "somebody leads");
    return members[at]!;
  }

  test("it is what the etcd face asks for", () => {
    const admin: StoreAdmin = cluster.members[first]!.admin;
    assert.equal(typeof admin.snapshot, "function");
  });

  test("a learner joins over the network, is promoted, and is removed again", async () => {
    const keyFile = join(cluster.directory, "m3.key");
    const { identity, memberId } = await loadOrCreateIdentity(keyFile);
    const address = `127.0.0.1:${await freePort()}`;
    const peerUrls = [`http://${address}?p2p=${identity}`];
    const [member] = cluster.members as [WorkerMember];
    const added = await member.admin.memberAdd({ peerUrls, learner: true });
    assert.equal(added.id, memberId);
    await assert.rejects(
      member.admin.memberAdd({ peerUrls: ["http://x:1?p2p=short"], learner: true }),
      /peer id/,
    );
    const founders = cluster.options[0]!.cluster;
    const options: WorkerMemberOptions = {
      ...cluster.options[0]!,
      name: "m3",
      dataDirectory: join(cluster.directory, "m3"),
      listen: { host: "127.0.0.1", port: Number(address.split(":")[1]) },
      keyFile,
      cluster: founders,
      initialClusterState: "existing",
      clientAddresses: ["http://127.0.0.1:9"],
    };
    await member.txn(put("before", "1"));
    const joined = await openMemberWorker(options);
    let closed = false;
    try {
      let promoted = false;
      const promote = async () => {
        while (!promoted) {
          await member.admin.memberPromote(memberId).then(
            () => {
              promoted = true;
            },
            (error: Error) => assert.match(error.message, /in sync with leader$/),
          );
        }
      };
      await promote();
      assert.equal(await textAt(joined, "before"), "1");
      let announced = false;
      const stop = joined.onStatus(async () => {
        const members = await member.admin.members();
        const info = members.find(({ id }) => id === memberId);
        announced = info?.name === "m3" && info.clientUrls[0] === "http://127.0.0.1:9";
      });
      await eventually("the new member's word", () => announced);
      stop();
      await member.admin.memberRemove(memberId);
      let refusal = "";
      const ask = async () => {
        while (refusal === "") {
          await joined.readRevision().then(
            () => {},
            (error: Error) => {
              refusal = error.message;
            },
          );
        }
      };
      await ask();
      assert.match(refusal, /has been removed/);
      await joined.close();
      closed = true;
    } finally {
      if (!closed) await joined.close();
    }
    assert.equal((await member.admin.members()).length, 3);
  });

  test("leadership moves, and hashes agree", async () => {
    const leader = await leaderOf(cluster.members);
    const other = cluster.members.find((member) => member !== leader)!;
    await leader.admin.moveLeader((await other.status()).id);
    assert.equal((await other.status()).role, "leader");
    const hashes = await Promise.all(cluster.members.map(({ admin }) => admin.hashKv(undefined)));
    assert.equal(new Set(hashes.map(({ hash }) => hash)).size, 1);
  });

  test("defragmentation stops nobody", async () => {
    const member = cluster.members[second]!;
    const value = new Uint8Array(50_000);
    for (let i = 0; i < 40; i++) await member.txn(put(`large${i % 4}`, value));
    await member.compact(await member.readRevision());
    let defragmented = false;
    const done = member.admin.defragment().then(() => {
      defragmented = true;
    });
    do await member.txn(put("meanwhile", "1"));
    while (!defragmented);
    await done;
    const { total } = await member.admin.dbSize();
    assert.ok(total > 0);
  });

  test("a snapshot that nobody reads to its end lets go of the member", async () => {
    const member = cluster.members[second]!;
    const value = new Uint8Array(500_000);
    for (let i = 0; i < 10; i++) await member.txn(put(`bulk${i}`, value));
    for await (const piece of member.admin.snapshot()) {
      assert.ok(piece.length > 0);
      break;
    }
    const file = join(cluster.directory, "backup");
    const { header } = await writeBackup(file, member.admin.snapshot());
    assert.equal(header.revision, await member.readRevision());
    await rm(file);
  });
});

test("`trireme store` serves etcd clients, and their snapshot is a backup", async () => {
  const cluster = await openRealCluster(0);
  const keyFile = join(cluster.directory, "peer.key");
  const { identity } = await loadOrCreateIdentity(keyFile);
  const [client, peer] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const values = {
    ...parseFlags(storeFlags, []),
    name: "alone",
    "data-dir": join(cluster.directory, "data"),
    "listen-client": client,
    "listen-peer": peer,
    "initial-cluster": `alone=${peer}/${identity}`,
    "initial-cluster-state": "new",
    "peer-key-file": keyFile,
    "insecure-loopback": true,
  };
  const outside = { ...values, "listen-client": "10.0.0.1:2379" };
  await assert.rejects(program.start(outside, silentLog), /is not a loopback address/);
  const unsafe = { ...values, "insecure-loopback": false };
  await assert.rejects(program.start(unsafe, silentLog), /--tls-cert-file is required/);
  const running = await program.start(values, silentLog);
  const kv = connect(KVClient, { addresses: [client] });
  const maintenance = connect(MaintenanceClient, { addresses: [client] });
  const members = connect(ClusterClient, { addresses: [client] });
  try {
    const key = Buffer.from(bytes("k"));
    await call(kv, "put", { key, value: Buffer.from("v") } as never);
    const found = await call(kv, "range", { key } as never);
    assert.equal(found.kvs?.[0]?.value?.toString(), "v");
    const listed = await call(members, "memberList", {} as never);
    assert.deepEqual(listed.members?.[0]?.peerURLs, [`http://${peer}?p2p=${identity}`]);
    assert.equal(listed.members?.[0]?.name, "alone");
    const blobs: Buffer[] = [];
    for await (const { blob } of serverStreamIterable(maintenance, "snapshot", {} as never)) {
      blobs.push(blob as Buffer);
    }
    const file = join(cluster.directory, "etcd.snapshot");
    await (await import("node:fs/promises")).writeFile(file, Buffer.concat(blobs));
    assert.equal((await readBackup(file)).member, "alone");
  } finally {
    for (const each of [kv, maintenance, members]) each.close();
    await running.stop();
    await cluster.close();
  }
});

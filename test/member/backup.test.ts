/** Backups are whole, consistent and checked, and what is restored never goes back in time. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { openMemberWorker, type WorkerMember } from "../../ha/member/mod.ts";
import type { Revision } from "../../ha/store/mod.ts";
import { writeBackup } from "../../services/cli/commands/backup-file.ts";
import { check } from "../../services/cli/commands/check.ts";
import { restore } from "../../services/cli/commands/restore.ts";
import { clusterOptions, openRealCluster, type RealCluster } from "./real-cluster.ts";
import { bytes, put, remove, textAt } from "./requests.ts";

const bump = 1_000_000_000;

describe("backup and restore", () => {
  let source: RealCluster;
  let store: WorkerMember;
  let directory: string;
  let revisions: { full: Revision; last: Revision };
  const file = (name: string) => join(directory, name);

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "trireme-backup-"));
    source = await openRealCluster(1);
    [store] = source.members as [WorkerMember];
    await store.leaseGrant(7n, 600);
    for (let i = 0; i < 30; i++) await store.txn(put(`k${i}`, `${i}`, i === 3 ? 7n : undefined));
    await store.txn(remove("k9"));
    const { revision: full } = await store.txn(put("once", "1"), { requestId: "request" });
    await writeBackup(file("full"), store.admin.snapshot());
    await store.txn(remove("k1"));
    const { revision: last } = await store.txn(put("k2", "changed"));
    await writeBackup(file("increment"), store.admin.snapshot(full));
    revisions = { full, last };
  });

  after(async () => {
    await source.close();
    await rm(directory, { recursive: true });
  });

  /** Restores for new members, opens them and hands them to the test. */
  async function restored(
    name: string,
    size: number,
    from: { readonly files: readonly string[]; readonly fromMember?: string },
    use: (members: readonly WorkerMember[]) => Promise<void>,
  ): Promise<void> {
    const options = await clusterOptions(directory, size);
    const dataDir = file(name);
    const masters = options[0]!.cluster
      .map((member) => `${member.name}=${member.address}/${member.identity}`)
      .join(",");
    const { files, fromMember } = from;
    const flags = { dataDir, masters, bumpRevision: bump, clusterToken: name };
    await restore(files, { ...flags, ...(fromMember !== undefined && { fromMember }) });
    for (const each of options) await check(join(dataDir, each.name));
    const members = await Promise.all(
      options.map((each) => openMemberWorker({ ...each, dataDirectory: join(dataDir, each.name) })),
    );
    try {
      await use(members);
    } finally {
      for (const member of members) await member.close();
    }
  }

  test("a full and an incremental backup make a new cluster of three", async () => {
    await check(file("full"));
    await check(file("increment"));
    const files = [file("full"), file("increment")];
    await restored("three", 3, { files }, async (members) => {
      const [member] = members as [WorkerMember];
      assert.equal(await member.readRevision(), revisions.last + bump);
      assert.equal(await textAt(member, "k2"), "changed");
      assert.equal(await textAt(member, "k1"), undefined);
      assert.equal(await textAt(member, "k9"), undefined);
      assert.equal(await textAt(member, "k5"), "5");
      const [kv] = (await member.range({ key: bytes("k5") })).kvs;
      assert.equal(kv?.version, 1);
      // No watcher travels back in time.
      const watch = member.watch({ key: bytes("k2"), startRevision: revisions.last });
      await assert.rejects(
        watch[Symbol.asyncIterator]().next(),
        /required revision has been compacted/,
      );
      const lease = await member.leaseTimeToLive(7n);
      assert.deepEqual(
        lease.keys.map((key) => Buffer.from(key).toString()),
        ["k3"],
      );
      const again = await member.txn(put("once", "2"), { requestId: "request" });
      assert.equal(again.replayed, true);
      const { revision } = await member.txn(put("new", "1"));
      assert.equal(revision, revisions.last + bump + 1);
      const statuses = await Promise.all(members.map((each) => each.status()));
      assert.equal(new Set(statuses.map(({ clusterId }) => clusterId)).size, 1);
      assert.notEqual(statuses[0]?.clusterId, (await store.status()).clusterId);
    });
  });

  test("of a full backup alone the state is that of its revision", async () => {
    await restored("one", 1, { files: [file("full")] }, async ([member]) => {
      assert.equal(await textAt(member!, "k1"), "1");
      assert.equal(await member!.readRevision(), revisions.full + bump);
    });
  });

  test("what does not fit together is refused", async () => {
    const options = await clusterOptions(directory, 1);
    const masters = options[0]!.cluster.map((m) => `${m.name}=${m.address}/${m.identity}`).join();
    const dataDir = file("refused");
    const flags = { dataDir, masters, bumpRevision: bump, clusterToken: "" };
    await assert.rejects(restore([file("increment")], flags), /first backup is incremental/);
    await assert.rejects(restore([file("full"), file("full")], flags), /not an incremental one/);
    await assert.rejects(restore([], flags), /either backup files are wanted/);
    await restore([file("full")], flags);
    await assert.rejects(restore([file("full")], flags), /is not empty/);
  });

  test("any damage is found, and its place named", async () => {
    const whole = await readFile(file("full"));
    const broken = file("broken");
    for (let at = 0; at < whole.length; at += 1 + (whole.length >> 6)) {
      const copy = Buffer.from(whole);
      copy[at]! ^= 0x10;
      await writeFile(broken, copy);
      await assert.rejects(check(broken), /at byte \d+/, `byte ${at}`);
    }
    await writeFile(broken, whole.subarray(0, whole.length - 700));
    await assert.rejects(check(broken), /byte \d+/);
  });

  test("an increment over what has been compacted is refused", async () => {
    await store.txn(put("k2", "again"));
    const revision = await store.readRevision();
    await store.compact(revision);
    const backup = writeBackup(file("late"), store.admin.snapshot(revisions.full));
    await assert.rejects(backup, /required revision has been compacted/);
    await writeBackup(file("compacted"), store.admin.snapshot());
    await check(file("compacted"));
  });

  test("one member that is left makes a new cluster, while it runs or after", async () => {
    const fromMember = source.options[0]!.dataDirectory;
    await store.txn(put("last", "word"));
    await source.members[0]!.admin.defragment();
    await check(fromMember);
    await restored("salvaged", 1, { files: [], fromMember }, async ([member]) => {
      assert.equal(await textAt(member!, "last"), "word");
      assert.ok((await member!.readRevision()) > bump);
    });
  });
});

/** Real members, on LevelDB and libp2p: one of them comes back without its data directory. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openMemberWorker, type WorkerMember } from "../../ha/member/mod.ts";
import { clusterOptions } from "./real-cluster.ts";
import { put, textAt } from "./requests.ts";

test("what two of three acknowledged outlives the data directory of one of them", async () => {
  const directory = await mkdtemp(join(tmpdir(), "trireme-lost-disk-"));
  const options = await clusterOptions(directory, 3);
  const members: (WorkerMember | undefined)[] = await Promise.all(options.map(openMemberWorker));
  const close = async (at: number) => {
    await members[at]?.close();
    members[at] = undefined;
  };
  try {
    await members[0]!.txn(put("k", "before"));
    const statuses = await Promise.all(members.map((member) => member!.status()));
    const old = statuses.findIndex(({ role }) => role === "leader");
    const [wiped, other] = [0, 1, 2].filter((at) => at !== old) as [number, number];
    await close(old);
    await members[other]!.txn(put("k", "acknowledged"));
    await close(wiped);
    await close(other);
    // Its peer key lies beside the directory, and stays.
    await rm(options[wiped]!.dataDirectory, { recursive: true });
    const verdict = openMemberWorker(options[wiped]!);
    members[old] = await openMemberWorker(options[old]!);
    await assert.rejects(verdict, /has already been bootstrapped.*etcdctl member remove/);
    assert.equal((await members[old].status()).leader, undefined, "one of three has no leader");
    members[other] = await openMemberWorker(options[other]!);
    for (const at of [old, other]) assert.equal(await textAt(members[at]!, "k"), "acknowledged");
  } finally {
    for (const at of members.keys()) await close(at);
    await rm(directory, { recursive: true });
  }
});

/**
 * An unmodified etcdctl (3.4 or 3.5) against the etcd face. What it has to print is what etcd's
 * documentation of etcdctl shows for each command (etcd `etcdctl/README.md`).
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Face, openFace } from "../etcd/support.ts";
import { eventually } from "../patience.ts";
import { Running } from "./etcdctl-process.ts";
import { needs } from "./needs.ts";

describe("etcdctl", needs("etcdctl", "etcd-client"), () => {
  let face: Face;
  let folder: string;
  const running: Running[] = [];

  before(async () => {
    face = await openFace();
    const clientUrls = [`http://127.0.0.1:${face.port}`];
    face.admin.list[0] = { ...face.admin.list[0]!, clientUrls };
    folder = mkdtempSync(join(tmpdir(), "trireme-etcdctl-"));
  });
  after(async () => {
    for (const { process } of running) if (process.exitCode === null) process.kill("SIGKILL");
    await face.close();
    rmSync(folder, { recursive: true });
  });

  const start = (args: readonly string[], input?: string): Running => {
    const started = new Running(`127.0.0.1:${face.port}`, args, input);
    running.push(started);
    return started;
  };
  /** Runs to its end, which has to be a good one; what it printed. */
  const run = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await start(args).done;
    assert.equal(code, 0, `etcdctl ${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  const json = async (...args: string[]) => JSON.parse(await run(...args, "-w", "json"));
  const fails = async (text: string, ...args: string[]): Promise<number | null> => {
    const { code, stderr } = await start(args).done;
    assert.notEqual(code, 0, `etcdctl ${args.join(" ")} should fail`);
    assert.ok(stderr.includes(text), stderr);
    return code;
  };

  test("put, get and del", async () => {
    assert.equal(await run("put", "foo", "bar"), "OK\n");
    const first = await json("get", "foo");
    assert.deepEqual(first, {
      header: { cluster_id: 1, member_id: 1, revision: 2, raft_term: 1 },
      kvs: [{ key: "Zm9v", create_revision: 2, mod_revision: 2, version: 1, value: "YmFy" }],
      count: 1,
    });
    assert.equal(await run("put", "foo", "bar2", "--prev-kv"), "OK\nfoo\nbar\n");
    assert.equal(await run("put", "foo1", "x"), "OK\n");
    assert.equal(await run("put", "fop", "y"), "OK\n");
    assert.equal(await run("get", "foo"), "foo\nbar2\n");
    assert.equal(await run("get", "nothing"), "");
    assert.equal(await run("get", "foo", "--rev=2", "--print-value-only"), "bar\n");
    assert.equal(await run("get", "foo", "--prefix"), "foo\nbar2\nfoo1\nx\n");
    assert.equal(await run("get", "foo1", "--from-key"), "foo1\nx\nfop\ny\n");
    assert.equal(await run("get", "foo", "fop"), "foo\nbar2\nfoo1\nx\n");
    assert.equal(await run("get", "", "--prefix", "--keys-only"), "foo\n\nfoo1\n\nfop\n\n");
    assert.equal(await run("get", "fo", "--prefix", "--limit=2"), "foo\nbar2\nfoo1\nx\n");
    const descending = ["--order=DESCEND", "--sort-by=KEY", "--limit=1"];
    assert.equal(await run("get", "fo", "--prefix", ...descending), "fop\ny\n");
    const oldest = ["--order=ASCEND", "--sort-by=VERSION", "--keys-only"];
    assert.equal(await run("get", "fo", "--prefix", ...oldest), "foo1\n\nfop\n\nfoo\n\n");
    assert.equal(await run("get", "foo", "--consistency=s"), "foo\nbar2\n");
    await fails(
      "etcdserver: mvcc: required revision is a future revision",
      "get",
      "foo",
      "--rev=99",
    );
    assert.equal(await run("put", "foo", "--ignore-value", "--prev-kv"), "OK\nfoo\nbar2\n");
    await fails("etcdserver: key not found", "put", "none", "--ignore-value");
    assert.equal(await run("del", "foo1", "--prev-kv"), "1\nfoo1\nx\n");
    assert.equal(await run("del", "foo1"), "0\n");
    assert.equal(await run("del", "fo", "--prefix"), "2\n");
  });

  test("txn, read from standard input", async () => {
    await run("put", "key1", "1");
    const script = (compare: string) =>
      `${compare}\n\nput key1 "overwrote"\nget key1\n\nput key2 "failed"\n\n`;
    const good = await start(["txn"], script('value("key1") = "1"')).done;
    assert.equal(good.code, 0, good.stderr);
    assert.equal(good.stdout, "SUCCESS\n\nOK\n\nkey1\noverwrote\n");
    const other = await start(["txn"], script('mod("key1") < "1"\ncreate("key2") = "0"')).done;
    assert.equal(other.code, 0, other.stderr);
    assert.equal(other.stdout, "FAILURE\n\nOK\n");
    assert.equal(await run("get", "key2", "--print-value-only"), "failed\n");
  });

  test("watch, from the past and with what was before", async () => {
    await run("put", "seen", "1");
    const { header } = await json("get", "seen");
    const watch = start(["watch", "seen", `--rev=${header.revision}`, "--prev-kv"]);
    const created = "PUT\nseen\n1\n";
    await watch.prints(created);
    await run("put", "seen", "2");
    const changed = "PUT\nseen\n1\nseen\n2\n";
    await watch.prints(created + changed);
    await run("del", "seen");
    await watch.prints(`${created}${changed}DELETE\nseen\n2\nseen\n\n`);
    await watch.interrupt();
    const all = start(["watch", "", "--prefix"]);
    await eventually("the watch", async () => {
      await run("put", "tick", "t");
      return all.stdout.includes("PUT\ntick\nt\n");
    });
    await all.interrupt();
  });

  test("lease grant, timetolive, keep-alive, list and revoke", async () => {
    const granted = /^lease ([0-9a-f]+) granted with TTL\(100s\)\n$/.exec(
      await run("lease", "grant", "100"),
    );
    const id = granted?.[1];
    assert.ok(id !== undefined);
    assert.equal(await run("put", "leased", "v", `--lease=${id}`), "OK\n");
    assert.match(
      await run("lease", "timetolive", id, "--keys"),
      new RegExp(
        `^lease ${id} granted with TTL\\(100s\\), remaining\\(\\d+s\\), ` +
          "attached keys\\(\\[leased\\]\\)\n$",
      ),
    );
    assert.equal(
      await run("lease", "keep-alive", "--once", id),
      `lease ${id} keepalived with TTL(100)\n`,
    );
    assert.equal(await run("lease", "list"), `found 1 leases\n${id}\n`);
    assert.equal(await run("lease", "revoke", id), `lease ${id} revoked\n`);
    assert.equal(await run("get", "leased"), "");
    assert.equal(await run("lease", "timetolive", id), `lease ${id} already expired\n`);
    await fails("etcdserver: requested lease not found", "lease", "revoke", id);
    await fails("etcdserver: requested lease not found", "put", "k", "v", `--lease=${id}`);
  });

  test("compaction", async () => {
    const { header } = await json("put", "compacted", "1");
    await run("put", "compacted", "2");
    const revision = `${header.revision + 1}`;
    assert.equal(await run("compaction", revision), `compacted revision ${revision}\n`);
    const compacted = "etcdserver: mvcc: required revision has been compacted";
    await fails(compacted, "compaction", revision);
    await fails(compacted, "get", "compacted", `--rev=${header.revision}`);
    await fails(compacted, "watch", "compacted", `--rev=${header.revision}`);
    await run("put", "compacted", "3");
    const next = `${header.revision + 2}`;
    assert.equal(await run("compaction", "--physical", next), `compacted revision ${next}\n`);
  });

  test("members, endpoints, alarms and upkeep", async () => {
    const peer = "http://127.0.0.1:2380";
    const client = `http://127.0.0.1:${face.port}`;
    const endpoint = `127.0.0.1:${face.port}`;
    assert.equal(await run("member", "list"), `1, started, local, ${peer}, ${client}, false\n`);
    assert.deepEqual((await json("member", "list")).members, [
      { ID: 1, name: "local", peerURLs: [peer], clientURLs: [client] },
    ]);
    const newPeer = "http://127.0.0.1:2390";
    const added = await json("member", "add", "second", `--peer-urls=${newPeer}`, "--learner");
    assert.deepEqual(added.member, { ID: 2, peerURLs: [newPeer], isLearner: true });
    assert.match(await run("member", "promote", "2"), /^Member +2 promoted in cluster +1\n$/);
    assert.match(
      await run("member", "update", "2", "--peer-urls=http://127.0.0.1:2391"),
      /^Member +2 updated in cluster +1\n$/,
    );
    assert.match(await run("member", "remove", "2"), /^Member +2 removed from cluster +1\n$/);
    await fails("etcdserver: member not found", "member", "remove", "2");

    assert.match(
      await run("endpoint", "status"),
      new RegExp(`^${endpoint}, 1, 3\\.5\\.21, 20 kB, true, false, 1, \\d+, \\d+, \n$`),
    );
    const [status] = await json("endpoint", "status");
    assert.equal(status.Status.leader, 1);
    assert.equal(status.Status.version, "3.5.21");
    // 3.4 tells it on stderr, 3.5 on stdout.
    const health = await start(["endpoint", "health"]).done;
    assert.equal(health.code, 0, health.stderr);
    assert.match(health.stdout + health.stderr, /is healthy: successfully committed proposal/);
    assert.match(await run("endpoint", "hashkv"), new RegExp(`^${endpoint}, \\d+\n$`));
    assert.equal(await run("alarm", "list"), "");
    face.admin.raised.push({ member: face.admin.list[0]!.id, kind: "noSpace" });
    assert.equal(await run("alarm", "list"), "memberID:1 alarm:NOSPACE \n");
    assert.equal(await run("alarm", "disarm"), "memberID:1 alarm:NOSPACE \n");
    assert.equal(await run("alarm", "list"), "");
    assert.equal(await run("defrag"), `Finished defragmenting etcd member[${endpoint}]\n`);
    assert.equal(await run("move-leader", "1"), "Leadership transferred from 1 to 1\n");
    const file = join(folder, "snapshot.db");
    assert.match(await run("snapshot", "save", file), /Snapshot saved at /);
    const saved = readFileSync(file);
    const content = saved.subarray(0, -32);
    assert.deepEqual(saved.subarray(-32), createHash("sha256").update(content).digest());
  });

  test("lock and elect", async () => {
    assert.equal(await run("lock", "mutex", "echo", "held"), "held\n");
    const holder = start(["lock", "mutex"]);
    await eventually("the lock", () => /^mutex\/[0-9a-f]+\n\n?$/.test(holder.stdout));
    const waiting = start(["lock", "mutex", "echo", "next"]);
    await eventually("two in the queue", async () => {
      return (await json("get", "mutex/", "--prefix")).count === 2;
    });
    assert.equal(waiting.stdout, "");
    await holder.interrupt();
    assert.equal((await waiting.done).stdout, "next\n");

    const leader = start(["elect", "vote", "me"]);
    await eventually("the election", () => /^vote\/[0-9a-f]+\nme\n$/.test(leader.stdout));
    const observer = start(["elect", "-l", "vote"]);
    await eventually("the leader", () => observer.stdout === leader.stdout);
    await leader.interrupt();
    await observer.interrupt();
  });

  test("users, roles and authentication", async () => {
    const input = (text: string, ...args: string[]) => start(args, text).done;
    assert.equal(await run("user", "add", "root:secret"), "User root created\n");
    assert.equal((await input("pw\n", "user", "add", "alice", "--interactive=false")).code, 0);
    assert.equal(await run("role", "add", "files"), "Role files created\n");
    assert.equal(
      await run("role", "grant-permission", "files", "--prefix=true", "readwrite", "files/"),
      "Role files updated\n",
    );
    assert.equal(
      await run("role", "grant-permission", "files", "read", "one"),
      "Role files updated\n",
    );
    assert.equal(
      await run("role", "get", "files"),
      "Role files\nKV Read:\n\t[files/, files0) (prefix files/)\n\tone\n" +
        "KV Write:\n\t[files/, files0) (prefix files/)\n",
    );
    assert.match(
      await run("user", "grant-role", "alice", "files"),
      /^Role files is granted to user alice\n$/,
    );
    assert.equal(await run("user", "get", "alice"), "User: alice\nRoles: files\n");
    await fails("etcdserver: user name already exists", "user", "add", "alice:x");
    await fails("etcdserver: role name not found", "role", "get", "none");
    await run("put", "one", "1");
    assert.equal(await run("auth", "enable"), "Authentication Enabled\n");
    await fails("etcdserver: user name is empty", "get", "one");
    const alice = "--user=alice:pw";
    const root = "--user=root:secret";
    assert.equal(await run(alice, "get", "one"), "one\n1\n");
    assert.equal(await run(alice, "put", "files/a", "A"), "OK\n");
    assert.equal(await run(alice, "get", "files/", "--prefix"), "files/a\nA\n");
    await fails("etcdserver: permission denied", alice, "put", "one", "2");
    await fails("etcdserver: permission denied", alice, "get", "", "--prefix");
    await fails("etcdserver: permission denied", alice, "user", "list");
    await fails(
      "etcdserver: authentication failed, invalid user ID or password",
      "--user=alice:wrong",
      "get",
      "one",
    );
    const watch = start([alice, "watch", "files/", "--prefix"]);
    await eventually("the watch", async () => {
      await run(alice, "put", "files/b", "B");
      return watch.stdout.startsWith("PUT\nfiles/b\nB\n");
    });
    await watch.interrupt();
    assert.equal(await run(root, "user", "list"), "alice\nroot\n");
    assert.equal(await run(root, "role", "list"), "files\nroot\n");
    assert.match(
      await run(root, "role", "revoke-permission", "files", "one"),
      /^Permission of key one is revoked from role files\n$/,
    );
    await fails("etcdserver: permission denied", alice, "get", "one");
    assert.match(
      await run(root, "user", "revoke-role", "alice", "files"),
      /^Role files is revoked from user alice\n$/,
    );
    await fails("etcdserver: permission denied", alice, "get", "files/a");
    assert.equal(
      (await input("new\n", root, "user", "passwd", "alice", "--interactive=false")).stdout,
      "Password updated\n",
    );
    assert.equal(await run(root, "role", "delete", "files"), "Role files deleted\n");
    assert.equal(await run(root, "user", "delete", "alice"), "User alice deleted\n");
    assert.equal(await run(root, "get", "one", "--print-value-only"), "1\n");
    assert.equal(await run(root, "auth", "disable"), "Authentication Disabled\n");
    assert.equal(await run("get", "one", "--print-value-only"), "1\n");
    const { kvs } = await json("get", "", "--prefix", "--keys-only");
    const keys: string[] = kvs.map(({ key }: { key: string }) => atob(key));
    assert.deepEqual(
      keys.filter((key) => key.startsWith("\0")),
      [],
      "what the cluster keeps for itself is nobody's to see",
    );
    assert.ok(keys.includes("one"));
  });
});

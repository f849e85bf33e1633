/**
 * An unmodified etcdctl against three members: whichever is asked, the cluster answers. What single
 * commands print in detail is held by `etcdctl.test.ts`.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { StoreCluster } from "../../services/drill/store-cluster.ts";
import { eventually } from "../patience.ts";
import { freeBasePort } from "../ports.ts";
import { Running } from "./etcdctl-process.ts";
import { needs } from "./needs.ts";

/** `check perf` writes for a minute. */
const checkMillis = 150_000;

describe("etcdctl and three members", needs("etcdctl", "etcd-client"), () => {
  let cluster: StoreCluster;
  let folder: string;
  let all: string;
  let each: readonly string[];
  const running: Running[] = [];

  before(async () => {
    cluster = await StoreCluster.start(await freeBasePort());
    each = cluster.members.map(({ address }) => address);
    all = each.join(",");
    folder = mkdtempSync(join(tmpdir(), "trireme-etcdctl-"));
  });
  after(async () => {
    for (const { process } of running) if (process.exitCode === null) process.kill("SIGKILL");
    await cluster.close();
    rmSync(folder, { recursive: true });
  });

  const start = (endpoints: string, ...args: string[]): Running => {
    const started = new Running(endpoints, args);
    running.push(started);
    return started;
  };
  /** Runs to its end, which has to be a good one; what it printed. */
  const at = async (endpoints: string, ...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await start(endpoints, ...args).done;
    assert.equal(code, 0, `etcdctl ${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  const run = (...args: string[]) => at(all, ...args);
  const fails = async (text: string, endpoints: string, ...args: string[]): Promise<void> => {
    const { code, stderr } = await start(endpoints, ...args).done;
    assert.notEqual(code, 0, `etcdctl ${args.join(" ")} should fail`);
    assert.ok(stderr.includes(text), stderr);
  };
  const input = (endpoints: string, text: string, ...args: string[]) => {
    const started = new Running(endpoints, args, text);
    running.push(started);
    return started.done;
  };

  test("what one member is told, all know", async () => {
    for (const [i, endpoint] of each.entries()) {
      assert.equal(await at(endpoint, "put", `key${i}`, `value${i}`), "OK\n");
    }
    for (const endpoint of each) {
      const got = await at(endpoint, "get", "key", "--prefix");
      assert.equal(got, "key0\nvalue0\nkey1\nvalue1\nkey2\nvalue2\n");
    }
    assert.equal(await run("del", "key", "--prefix"), "3\n");
    assert.equal(await run("get", "key", "--prefix"), "");
  });

  test("txn, watch, lease and compaction", async () => {
    const txn = 'value("a") = "1"\n\nput a 2\n\nput a 1\n\n';
    const [first, second, third] = each as [string, string, string];
    assert.equal((await input(first, txn, "txn")).stdout, "FAILURE\n\nOK\n");
    assert.equal((await input(second, txn, "txn")).stdout, "SUCCESS\n\nOK\n");
    const watch = start(third, "watch", "a", "--rev=1");
    await watch.prints("PUT\na\n1\nPUT\na\n2\n");
    await watch.interrupt();
    const granted = await at(first, "lease", "grant", "300");
    const lease = /^lease ([0-9a-f]{16}) granted with TTL\(300s\)\n$/.exec(granted)?.[1] ?? granted;
    assert.equal(await at(second, "put", "leased", "x", `--lease=${lease}`), "OK\n");
    assert.match(
      await at(third, "lease", "timetolive", lease, "--keys"),
      /attached keys\(\[leased\]\)/,
    );
    assert.match(
      await at(third, "lease", "keep-alive", "--once", lease),
      /keepalived with TTL\(300\)/,
    );
    assert.ok((await at(second, "lease", "list")).includes(lease));
    assert.equal(await at(third, "lease", "revoke", lease), `lease ${lease} revoked\n`);
    assert.equal(await at(first, "get", "leased"), "");
    const { header } = JSON.parse(await run("get", "a", "-w", "json"));
    assert.match(
      await at(second, "compaction", `${header.revision}`),
      /^compacted revision \d+\n$/,
    );
    await fails("required revision has been compacted", third, "get", "a", "--rev=2");
  });

  test("members and endpoints", async () => {
    const members = (await run("member", "list")).trimEnd().split("\n");
    assert.equal(members.length, 3);
    for (const member of members) {
      assert.match(member, /^[0-9a-f]+, started, m\d, \S+, http:\/\/127\.0\.0\.1:\d+, false$/);
    }
    const status = JSON.parse(await run("endpoint", "status", "-w", "json"));
    const leaders = new Set(
      status.map(({ Status }: { Status: { leader: number } }) => Status.leader),
    );
    assert.equal(leaders.size, 1);
    for (const { Status } of status) assert.ok(Status.dbSize > 0);
    const health = await start(all, "endpoint", "health").done;
    assert.equal(health.code, 0);
    const healthy = /is healthy: successfully committed proposal: took = /;
    const lines = `${health.stdout}${health.stderr}`.trimEnd().split("\n");
    assert.equal(lines.filter((line) => healthy.test(line)).length, 3);
    const hashes = (await run("endpoint", "hashkv")).trimEnd().split("\n");
    assert.equal(new Set(hashes.map((line) => line.split(", ")[1])).size, 1);
    assert.equal((await run("endpoint", "status", "-w", "table")).split("\n").length, 8);
    assert.match(await run("endpoint", "status", "-w", "fields"), /"Leader" : \d+/);
  });

  test("a snapshot, the leader's move, defragmentation and alarms", async () => {
    const file = join(folder, "snapshot.db");
    await at(each[0] as string, "snapshot", "save", file);
    assert.ok(statSync(file).size > 0);
    await fails("snapshot must be requested to one selected node", all, "snapshot", "save", file);
    const leader = await cluster.leader();
    const other = cluster.members.find((member) => member !== leader);
    const list = (await run("member", "list")).split("\n");
    const target = list.find((line) => line.includes(`, ${other?.name},`))?.split(",")[0] ?? "";
    await fails("no leader endpoint given", other?.address ?? "", "move-leader", target);
    assert.match(await run("move-leader", target), /^Leadership transferred from \w+ to \w+\n$/);
    await eventually("the new leader", async () => (await cluster.leader()) === other);
    const defragmented = await start(all, "defrag").done;
    assert.equal(defragmented.code, 0);
    assert.equal(defragmented.stdout.match(/Finished defragmenting etcd member/g)?.length, 3);
    assert.equal(await run("alarm", "list"), "");
    assert.equal(await run("alarm", "disarm"), "");
  });

  test("users, roles and tokens are the cluster's", async () => {
    const [first, second, third] = each as [string, string, string];
    await at(first, "user", "add", "root:secret");
    await at(second, "user", "add", "alice:pw");
    await at(third, "role", "add", "files");
    await at(first, "role", "grant-permission", "files", "--prefix=true", "readwrite", "files/");
    await at(second, "user", "grant-role", "alice", "files");
    assert.equal(await at(third, "auth", "enable"), "Authentication Enabled\n");
    for (const endpoint of each) {
      await fails("etcdserver: user name is empty", endpoint, "get", "files/a");
      assert.equal(await at(endpoint, "--user=alice:pw", "put", "files/a", endpoint), "OK\n");
      await fails("etcdserver: permission denied", endpoint, "--user=alice:pw", "put", "b", "1");
      const wrong = "etcdserver: authentication failed, invalid user ID or password";
      await fails(wrong, endpoint, "--user=alice:no", "get", "files/a");
    }
    // A token that one member gave is used at all of them.
    const got = await run("--user=alice:pw", "get", "files/", "--prefix");
    assert.equal(got, `files/a\n${third}\n`);
    await at(second, "--user=root:secret", "user", "delete", "alice");
    for (const endpoint of each) {
      const { code } = await start(endpoint, "--user=alice:pw", "get", "files/a").done;
      assert.notEqual(code, 0);
    }
    assert.equal(
      await at(first, "--user=root:secret", "auth", "disable"),
      "Authentication Disabled\n",
    );
    assert.equal(await at(second, "get", "files/a", "--print-value-only"), `${third}\n`);
  });

  test("locks and elections are held across members", async () => {
    const [first, second, third] = each as [string, string, string];
    const holder = start(first, "lock", "mutex");
    await eventually("the lock", () => /^mutex\/[0-9a-f]+\n\n?$/.test(holder.stdout));
    const waiting = start(second, "lock", "mutex", "echo", "next");
    await eventually("two in the queue", async () => {
      const { count } = JSON.parse(await at(third, "get", "mutex/", "--prefix", "-w", "json"));
      return count === 2;
    });
    assert.equal(waiting.stdout, "");
    await holder.interrupt();
    assert.equal((await waiting.done).stdout, "next\n");
    const leader = start(third, "elect", "vote", "me");
    await eventually("the election", () => /^vote\/[0-9a-f]+\nme\n$/.test(leader.stdout));
    const observer = start(first, "elect", "-l", "vote");
    await eventually("the leader", () => observer.stdout === leader.stdout);
    await leader.interrupt();
    await observer.interrupt();
  });

  test("a learner joins the list and leaves it", async () => {
    // A member is known by the identity of its key.
    const url = "http://127.0.0.1:21999?p2p=12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";
    const added = await run("member", "add", "m3", "--learner", `--peer-urls=${url}`);
    const id = /^Member +([0-9a-f]+) added to cluster/.exec(added)?.[1] ?? added;
    assert.match(
      await run("member", "list"),
      new RegExp(`^${id}, unstarted, , \\S+, , true$`, "m"),
    );
    await fails("can only promote a learner member which is in sync", all, "member", "promote", id);
    assert.match(await run("member", "remove", id), /^Member +[0-9a-f]+ removed from cluster/);
    assert.equal((await run("member", "list")).trimEnd().split("\n").length, 3);
  });

  test("etcdctl's own checks pass", { timeout: checkMillis }, async () => {
    const scale = await at(each[0] as string, "check", "datascale", "--load=s");
    assert.match(scale, /PASS: Approximate system memory used : [\d.]+ MB\./);
    const perf = await run("check", "perf", "--load=s");
    assert.match(perf, /PASS: Throughput is \d+ writes\/s/);
    assert.match(perf, /PASS: Slowest request took/);
    assert.match(perf, /\nPASS\n$/);
  });
});

/** The npm client `etcd3`, unmodified, against three members: it notices nothing. */
import assert from "node:assert/strict";
import { type EventEmitter, once } from "node:events";
import { after, before, describe, test } from "node:test";
import { Etcd3, EtcdLockFailedError, type Lock } from "etcd3";
import { ConnectionPool } from "etcd3/lib/connection-pool.js";
import { StoreCluster, type StoreMember } from "../../services/drill/store-cluster.ts";
import { patienceMillis } from "../patience.ts";
import { freeBasePort } from "../ports.ts";
import { until } from "./cluster.ts";

/** Of locks and leases that outlive something; how long a process may idle after a release. */
const secondsToLive = 5;

describe("npm etcd3 against three members", { concurrency: 1 }, () => {
  let cluster: StoreCluster;
  let client: Etcd3;

  before(async () => {
    cluster = await StoreCluster.start(await freeBasePort());
    client = new Etcd3({ hosts: cluster.members.map(urlOf) });
  });
  after(async () => {
    client?.close();
    await cluster?.close();
  });

  /** Another contender finds the lock taken. */
  const refused = (key: string) =>
    assert.rejects(client.lock(key).ttl(1).acquire(), EtcdLockFailedError);

  /** The revisions of all puts below a prefix between two revisions, as a new watcher hears them. */
  async function putsBetween(prefix: string, first: string, last: string): Promise<string[]> {
    const watcher = client.watch().prefix(prefix).startRevision(first).watcher();
    const heard: string[] = [];
    watcher.on("put", ({ mod_revision }) => heard.push(mod_revision));
    await until("the history", async () => heard.at(-1) === last);
    await watcher.cancel();
    return heard;
  }

  test("a member that answers lists its own address", async () => {
    for (const member of cluster.members) {
      const only = new Etcd3({ hosts: urlOf(member) });
      try {
        const { members } = await until("an answer", () => only.cluster.memberList({}));
        const own = members.find(({ name }) => name === member.name);
        assert.deepEqual(own?.clientURLs, [urlOf(member)]);
      } finally {
        only.close();
      }
    }
  });

  test("puts, gets, ranges and deletes", async () => {
    await client.put("fruit/apple").value("red");
    await client.put("fruit/banana").value("yellow");
    assert.equal(await client.get("fruit/apple").string(), "red");
    assert.deepEqual(await client.getAll().prefix("fruit/").strings(), {
      "fruit/apple": "red",
      "fruit/banana": "yellow",
    });
    await client.delete().key("fruit/apple");
    assert.equal(await client.get("fruit/apple").string(), null);
  });

  test("a transaction takes one branch", async () => {
    const swap = () =>
      client
        .if("counter", "Version", "==", 0)
        .then(client.put("counter").value(1))
        .else(client.get("counter"))
        .commit();
    assert.equal((await swap()).succeeded, true);
    assert.equal((await swap()).succeeded, false);
  });

  test("a watcher sees what follows", async () => {
    const watcher = await client.watch().prefix("seen/").create();
    const seen: string[] = [];
    watcher.on("put", (kv) => seen.push(`${kv.key}=${kv.value}`));
    watcher.on("delete", (kv) => seen.push(`-${kv.key}`));
    await client.put("seen/a").value("1");
    await client.put("seen/b").value("2");
    await client.delete().key("seen/a");
    await until("three events", async () => seen.length === 3);
    assert.deepEqual(seen, ["seen/a=1", "seen/b=2", "-seen/a"]);
    await watcher.cancel();
  });

  test("a lease takes its keys along", async () => {
    const lease = client.lease(60);
    const renewed = heard(lease, "keepaliveSucceeded");
    await lease.put("leased").value("x");
    assert.equal(await client.get("leased").string(), "x");
    // A renewal that is answered after the end would start etcd3's timer of 60 s once more.
    await renewed;
    await lease.revoke();
    assert.equal(await client.get("leased").string(), null);
  });

  test("a lock is held by one", async () => {
    const first = await client.lock("door").ttl(secondsToLive).acquire();
    await refused("door");
    await first.release();
    const second = await client.lock("door").ttl(secondsToLive).acquire();
    await refused("door");
    await second.release();
  });

  test("an election has one leader, and the next one after it", async () => {
    const election = client.election("captain", 5);
    const first = election.campaign("anna");
    await new Promise((resolve) => first.once("elected", () => resolve(undefined)));
    assert.equal(await election.leader(), "anna");
    const second = election.campaign("bo");
    const elected = new Promise((resolve) => second.once("elected", () => resolve(undefined)));
    await first.resign();
    await elected;
    assert.equal(await election.leader(), "bo");
    await second.resign();
  });

  test("a watcher, a lock and a lease outlive the kill -9 of the leader", async () => {
    const leader = await cluster.leader();
    // Every stream of this client is tried at its last host first: the leader.
    const others = cluster.members.filter((member) => member !== leader);
    ConnectionPool.deterministicOrder = true;
    const faithful = new Etcd3({ hosts: [...others, leader].map(urlOf) });
    let held: Lock | undefined;
    try {
      const watcher = await faithful.watch().prefix("across/").create();
      const seen: string[] = [];
      watcher.on("put", ({ mod_revision }) => seen.push(mod_revision));
      const lease = faithful.lease(secondsToLive);
      const leased = await lease.put("across/leased").value("x");
      held = await faithful.lock("across").ttl(secondsToLive).acquire();
      const disconnected = heard(watcher, "disconnected");

      leader.process.kill("SIGKILL");
      await disconnected;
      await until("a write by the others", async () => {
        await client.put("across/after").value("all");
        return true;
      });
      // Together longer than the time to live, of which etcd3 renews at every third.
      for (let i = 0; i < 4; i++) await heard(lease, "keepaliveSucceeded");
      assert.equal(await client.get("across/leased").string(), "x");
      await refused("across");

      cluster.restart(leader);
      await cluster.equalHashes();
      const { header } = await client.put("across/end").value("x");
      await until("the last event", async () => seen.at(-1) === header.revision);
      const { revision: first } = leased.header;
      assert.deepEqual(seen, await putsBetween("across/", first, header.revision));

      await watcher.cancel();
      await lease.revoke();
      assert.equal(await client.get("across/leased").string(), null);
    } finally {
      await held?.release();
      faithful.close();
      ConnectionPool.deterministicOrder = false;
    }
  });
});

function urlOf({ address }: StoreMember): string {
  return `http://${address}`;
}

function heard(emitter: EventEmitter, event: string): Promise<unknown> {
  return once(emitter, event, { signal: AbortSignal.timeout(patienceMillis) });
}

/** The npm client `etcd3`, unmodified, against three members: it notices nothing. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Etcd3 } from "etcd3";
import { StoreCluster } from "../../ha/drill/store-cluster.ts";
import { until } from "./cluster.ts";

describe("npm etcd3 against three members", { concurrency: 1 }, () => {
  let cluster: StoreCluster;
  let client: Etcd3;

  before(async () => {
    cluster = await StoreCluster.start(22_300);
    client = new Etcd3({ hosts: cluster.members.map(({ address }) => `http://${address}`) });
  });
  after(async () => {
    client?.close();
    await cluster?.close();
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
    await lease.put("leased").value("x");
    assert.equal(await client.get("leased").string(), "x");
    await lease.revoke();
    assert.equal(await client.get("leased").string(), null);
  });

  test("a lock is held by one", async () => {
    const first = client.lock("door");
    await first.acquire();
    await assert.rejects(client.lock("door").acquire());
    await first.release();
    const second = client.lock("door");
    await second.acquire();
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

  test("the leader is killed: the client goes on", async () => {
    const leader = await cluster.leader();
    leader.process.kill("SIGKILL");
    await until("a write by the others", async () => {
      await client.put("after").value("all");
      return true;
    });
    assert.equal(await client.get("after").string(), "all");
    cluster.restart(leader);
    await cluster.equalHashes();
  });
});

/** Watches of npm's `etcd3` through a balancer, while a member is killed and comes back. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Etcd3, type Watcher } from "etcd3";
import { type Balancer, startBalancer } from "../../ha/balancer/mod.ts";
import { StoreCluster } from "../../services/drill/store-cluster.ts";
import { freeBasePort } from "../ports.ts";
import { memoryLog } from "../rpc/helpers.ts";
import { until } from "./cluster.ts";

const count = 13;

describe("watches through a balancer", { concurrency: 1 }, () => {
  let cluster: StoreCluster;
  let balancer: Balancer;
  const clients: Etcd3[] = [];
  const watchers: Watcher[] = [];
  const seen: string[][] = [];
  const errors: unknown[] = [];

  before(async () => {
    cluster = await StoreCluster.start(await freeBasePort());
    balancer = await startBalancer({
      listen: { host: "127.0.0.1", port: 0 },
      masters: cluster.members.map(({ name, address }) => ({ name, address })),
      log: memoryLog([]),
      limits: { spreadMillis: 200 },
    });
    for (let n = 0; n < count; n++) {
      const client = new Etcd3({ hosts: `http://127.0.0.1:${balancer.port}` });
      clients.push(client);
      const watcher = await client.watch().prefix("spread/").create();
      const revisions: string[] = [];
      watcher.on("put", ({ mod_revision }) => revisions.push(mod_revision));
      watcher.on("error", (error) => errors.push(error));
      watchers.push(watcher);
      seen.push(revisions);
    }
  });
  after(async () => {
    // A watcher that is not cancelled is begun anew, again and again, also by a closed client.
    await Promise.all(watchers.map((watcher) => watcher.cancel()));
    for (const client of clients) client.close();
    await balancer?.close();
    await cluster?.close();
  });

  const streams = () => balancer.status().masters.map((master) => master.streams);
  const level = () => Math.max(...streams()) - Math.min(...streams()) <= 1;

  for (const victim of [0, 1, 2]) {
    test(`even within one after the return of member ${victim}, and nothing lost`, async () => {
      const member = cluster.members[victim];
      assert.ok(member);
      await until("all are even at first", async () => level());
      const client = clients[0] as Etcd3;
      const expected: string[] = [];
      let stop = false;
      const writing = (async () => {
        while (!stop) {
          const { header } = await until("a write", () =>
            client.put("spread/key").value("x").exec(),
          );
          expected.push(header.revision);
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      })();
      member.process.kill("SIGKILL");
      await until("two are healthy", async () => {
        return balancer.status().masters.filter(({ healthy }) => healthy).length === 2;
      });
      cluster.restart(member);
      await until("all are even again", async () => {
        const healthy = balancer.status().masters.every((master) => master.healthy);
        const total = streams().reduce((sum, each) => sum + each, 0);
        return healthy && total === count && level();
      });
      stop = true;
      await writing;
      const last = expected.at(-1);
      for (const revisions of seen) {
        await until("the last event", async () => revisions.at(-1) === last);
        // A put that was repeated is there once more: what is heard is what history says, in order.
        const ascending = revisions.every((each, at) => {
          return at === 0 || BigInt(each) > BigInt(revisions[at - 1] as string);
        });
        assert.ok(ascending, "once each, in order");
        const heard = new Set(revisions);
        assert.deepEqual(
          expected.filter((each) => !heard.has(each)),
          [],
        );
        assert.deepEqual(revisions, seen[0]);
      }
      assert.deepEqual(errors, []);
    });
  }
});

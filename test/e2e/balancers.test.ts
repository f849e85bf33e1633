/** Two balancers: either may die under load. And what `status` says of a master that is stopped. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { StatusError } from "../../ha/runtime/status-error.ts";
import { TestCluster, trireme, until } from "./cluster.ts";

describe("two balancers", { concurrency: 1 }, () => {
  const cluster = new TestCluster();

  before(() => cluster.up(["--nodes", "0"]));
  after(() => cluster.close());

  test("either is killed under load, and no call fails", async () => {
    const namespace = "default";
    assert.equal(cluster.endpoints.balancers.length, 2);
    const clients = [0, 1, 2, 3].map(() => cluster.client());
    const failures: string[] = [];
    let [written, stop] = [0, false];
    const loads = clients.flatMap((client, at) =>
      [0, 1].map(async (half) => {
        for (let n = 0; !stop; n++) {
          const name = `kept-${at}-${half}-${n}`;
          try {
            await client.configMaps.create({ metadata: { name, namespace } });
            await client.configMaps.get(name, namespace);
            written++;
          } catch (error) {
            failures.push(StatusError.from(error).message);
          }
        }
      }),
    );
    after(() => {
      stop = true;
    });
    for (const { name } of cluster.endpoints.balancers) {
      const progress = written;
      await until("calls are answered", async () => written > progress + 100);
      const pid = () => cluster.endpoints.balancers.find((each) => each.name === name)?.pid;
      const killed = pid();
      assert.ok(killed !== undefined);
      process.kill(killed, "SIGKILL");
      await until(`${name} is back`, async () => pid() !== undefined && pid() !== killed);
    }
    const progress = written;
    await until("calls are answered", async () => written > progress + 100);
    stop = true;
    await Promise.all(loads);
    for (const client of clients) client.close();
    assert.deepEqual(failures, []);
  });

  test("status tells a stopped master from one that is down, and fails when none answers", async () => {
    const { masters } = cluster.endpoints;
    const stopped = masters.find(({ leader }) => !leader) ?? masters[0];
    assert.ok(stopped?.pid !== undefined);
    process.kill(stopped.pid, "SIGSTOP");
    try {
      const { code, stdout } = await cluster.run(["status"]);
      assert.match(stdout, new RegExp(`${stopped.name} +\\d+ +not answering `));
      assert.match(stdout, /balancer-0 +\d+ +running/);
      assert.match(stdout, /balancer-1 +\d+ +running/);
      assert.equal(code, 0);
    } finally {
      process.kill(stopped.pid, "SIGCONT");
    }
    const { directory, basePort } = cluster;
    const moved = ["up", "--data-dir", directory, "--base-port", String(basePort + 3_000)];
    const refused = await trireme(moved);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, new RegExp(`was made with ${basePort}`));
  });
});

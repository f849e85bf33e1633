import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { startBalancer } from "../../ha/balancer/mod.ts";
import { call, ServingStatus, serverStreamIterable } from "../../ha/rpc/mod.ts";
import { Code } from "../../ha/runtime/status-error.ts";
import { LeasesClient } from "../../proto/gen/coordination.ts";
import { HealthClient } from "../../proto/gen/health.ts";
import { eventually } from "../patience.ts";
import { deferred, memoryLog } from "../rpc/helpers.ts";
import { useCluster } from "./fakes.ts";

const begin = useCluster();
const never = () => new Promise<never>(() => {});

describe("the balancer's own life", () => {
  test("its health follows its masters", async () => {
    const { masters, client } = await begin();
    const health = client(HealthClient);
    assert.deepEqual(await call(health, "check", {}), { status: ServingStatus.SERVING });
    const stream = serverStreamIterable(health, "watch", {});
    const next = async () => {
      const step = await stream.next();
      return step.done ? "done" : step.value.status;
    };
    assert.equal(await next(), ServingStatus.SERVING);
    for (const master of masters) master.set({ ready: false });
    assert.equal(await next(), ServingStatus.NOT_SERVING);
    assert.deepEqual(await call(health, "check", { service: "trireme.balancer" }), {
      status: ServingStatus.SERVING,
    });
    masters[1].set({ ready: true });
    assert.equal(await next(), ServingStatus.SERVING);
    // Any other service is the masters' affair, and these have no health service.
    await assert.rejects(call(health, "check", { service: "x" }), { code: Code.unimplemented });
    await stream.return();
  });

  test("drains: calls under way end, new connections are refused", async () => {
    const at = await begin();
    const release = deferred();
    at.masters[0].handle = async () => {
      await release.promise;
      return { metadata: { name: "late" } };
    };
    const pending = call(at.client(LeasesClient), "create", {});
    await eventually("it has arrived", () => at.masters[0].seen.length === 1);
    const drained = at.balancer.drain(10_000);
    await assert.rejects(call(at.client(LeasesClient), "get", {}), { code: Code.unavailable });
    release.resolve();
    assert.equal((await pending).metadata?.name, "late");
    await drained;
    assert.equal(at.balancer.status().connections, 0);
  });

  test("a watch of its health ends with a drain, and does not hold it up", async () => {
    const at = await begin();
    const heard: unknown[] = [];
    const ended = (async () => {
      const stream = serverStreamIterable(at.client(HealthClient), "watch", {});
      for await (const { status } of stream) heard.push(status);
    })();
    await eventually("it is told", () => heard.length === 1);
    const begun = performance.now();
    await at.balancer.drain(30_000);
    await ended;
    assert.deepEqual(heard, [ServingStatus.SERVING, ServingStatus.NOT_SERVING]);
    assert.ok(performance.now() - begun < 10_000);
  });

  test("what outlasts the grace of a drain is told so", async () => {
    const at = await begin();
    at.masters[0].handle = never;
    const pending = call(at.client(LeasesClient), "create", {});
    await eventually("it has arrived", () => at.masters[0].seen.length === 1);
    const refused = assert.rejects(pending, {
      code: Code.unavailable,
      message: "the balancer is shutting down",
    });
    await at.balancer.drain(20);
    await refused;
  });

  test("options that cannot work are refused by name", async () => {
    const { balancer } = await begin();
    const log = memoryLog();
    const listen = { host: "127.0.0.1", port: 0 };
    await assert.rejects(startBalancer({ listen, masters: [], log }), { message: /masters/ });
    const masters = [{ name: "m", address: "127.0.0.1:1" }];
    await assert.rejects(startBalancer({ listen, masters: [...masters, ...masters], log }), {
      message: /different names/,
    });
    await assert.rejects(
      startBalancer({ listen, masters: [{ name: "m", address: "nowhere" }], log }),
      { message: /address "nowhere"/ },
    );
    await assert.rejects(
      startBalancer({ listen: { host: "127.0.0.1", port: balancer.port }, masters, log }),
      { message: /the address is in use/ },
    );
    await assert.rejects(startBalancer({ listen, masters, log, limits: { attempts: 0 } }), {
      message: /limits.attempts/,
    });
  });
});

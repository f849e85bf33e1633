import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Metadata } from "@grpc/grpc-js";
import { call } from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { LeasesClient } from "../../proto/gen/coordination.ts";
import { eventually } from "../patience.ts";
import { EchoClient } from "../rpc/echo.ts";
import { deferred } from "../rpc/helpers.ts";
import { header, startWire, useCluster } from "./fakes.ts";

const begin = useCluster();
const never = () => new Promise<never>(() => {});
const hello = Buffer.from("hello");

describe("repeating calls", () => {
  test("a write whose master dies is repeated with the same id, unseen by the client", async () => {
    const { masters, client, balancer } = await begin();
    masters[0].handle = never;
    const leases = client(LeasesClient);
    const pending = call(leases, "create", { object: { metadata: { name: "x" } } });
    await eventually("it has arrived", () => masters[0].seen.length === 1);
    await masters[0].kill();
    masters[1].set({ role: "leader", term: 2, leaderName: "master-1" });
    assert.equal((await pending).metadata?.name, "master-1");
    const [first] = masters[0].seen;
    const [second] = masters[1].seen;
    assert.match(header(first, "trireme-request-id") ?? "", /^[0-9a-f]{32}$/);
    assert.equal(
      header(second, "trireme-request-id"),
      header(first, "trireme-request-id"),
      "the id stays",
    );
    assert.equal(header(first, "trireme-attempt"), undefined);
    assert.equal(header(second, "trireme-attempt"), "2");
    assert.equal(balancer.status().retries, 1);
  });

  test("a client's own request id is kept, and its attempts are counted on", async () => {
    const { masters, client } = await begin();
    const metadata = new Metadata();
    metadata.set("trireme-request-id", "mine");
    metadata.set("trireme-attempt", "3");
    await call(client(LeasesClient), "create", {}, { metadata });
    assert.equal(header(masters[0].seen[0], "trireme-request-id"), "mine");
    assert.equal(header(masters[0].seen[0], "trireme-attempt"), "3");
    metadata.set("grpc-previous-rpc-attempts", "2");
    await call(client(LeasesClient), "create", {}, { metadata });
    assert.equal(header(masters[0].seen[1], "grpc-previous-rpc-attempts"), "2");
  });

  test("a read is repeated elsewhere, and carries no request id", async () => {
    const { masters, client } = await begin();
    for (const master of masters) master.handle = never;
    const pending = call(client(LeasesClient), "get", {});
    await eventually("it has arrived", () => masters.some(({ seen }) => seen.length === 1));
    const hit = masters.find(({ seen }) => seen.length === 1);
    for (const master of masters) {
      if (master !== hit) master.handle = async () => ({ metadata: { name: master.name } });
    }
    assert.equal(header(hit?.seen[0], "trireme-request-id"), undefined);
    await hit?.kill();
    assert.notEqual((await pending).metadata?.name, hit?.name);
  });

  test("without a leader a write goes to any healthy master after a while", async () => {
    const { masters, client } = await begin({ limits: { leaderWaitMillis: 50 } });
    await masters[0].kill();
    assert.match((await call(client(LeasesClient), "create", {})).metadata?.name ?? "", /-[12]$/);
  });

  test("an UNAVAILABLE that is marked safe is repeated; one that is not is passed on", async () => {
    const { masters, client, balancer } = await begin();
    let safe = true;
    masters[0].handle = async (_, __, context) => {
      if (safe) context.setTrailer("trireme-retry", "safe");
      throw new StatusError(Code.unavailable, "etcdserver: leader changed");
    };
    const leases = client(LeasesClient);
    assert.notEqual((await call(leases, "create", {})).metadata?.name, "master-0");
    assert.equal(balancer.status().retries, 1);
    safe = false;
    await assert.rejects(call(leases, "create", {}), {
      code: Code.unavailable,
      message: "etcdserver: leader changed",
    });
    assert.equal(balancer.status().retries, 1);
  });

  test("attempts are bounded", async () => {
    const { masters, client } = await begin({ limits: { backoffMaxMillis: 5 } });
    for (const master of masters) {
      master.handle = async (_, __, context) => {
        context.setTrailer("trireme-retry", "safe");
        throw new StatusError(Code.unavailable, "not now");
      };
    }
    await assert.rejects(call(client(LeasesClient), "get", {}), { message: "not now" });
    assert.equal(
      masters.reduce((sum, { seen }) => sum + seen.length, 0),
      6,
    );
  });

  test("an unknown method is never repeated once begun", async () => {
    const { masters, client, balancer } = await begin();
    for (const master of masters) master.say = never;
    const pending = call(client(EchoClient), "say", hello);
    await eventually("it has arrived", () => masters.some(({ seen }) => seen.length === 1));
    const hit = masters.find(({ seen }) => seen.length === 1);
    await Promise.all([
      assert.rejects(pending, { code: Code.unavailable, message: `${hit?.name} went away` }),
      hit?.kill(),
    ]);
    assert.equal(
      masters.reduce((sum, { seen }) => sum + seen.length, 0),
      1,
    );
    assert.equal(balancer.status().retries, 0);
  });

  test("a master that falls silent loses its calls to others, and gets no new ones", async () => {
    let wire: Awaited<ReturnType<typeof startWire>> | undefined;
    const { masters, client, healthy } = await begin({
      limits: {
        ...{ pingMillis: 200, pingTimeoutMillis: 300, leaderWaitMillis: 250, dialMillis: 250 },
        ...{ suspectPingMillis: 100, suspectMillis: 250, suspectTurnMillis: 50 },
      },
      portOf: async (master) => {
        if (master.name !== "master-0") return master.port;
        wire = await startWire(master);
        return wire.port;
      },
    });
    masters[0].handle = never;
    const leases = client(LeasesClient);
    const pending = call(leases, "create", {});
    await eventually("it has arrived", () => masters[0].seen.length === 1);
    wire?.kill();
    assert.match((await pending).metadata?.name ?? "", /-[12]$/);
    await eventually("the silent master is left out", () => healthy() === 2);
    wire?.close();
  });

  test("masters that take no more calls are not overloaded", async () => {
    const { masters, client } = await begin({ maxConcurrentStreams: 2 });
    for (const master of masters) master.handle = never;
    const leases = client(LeasesClient);
    for (let n = 0; n < 6; n++) void call(leases, "get", {}).catch(() => {});
    await eventually("all are busy", () => masters.every(({ seen }) => seen.length === 2));
    await assert.rejects(call(leases, "get", {}), {
      code: Code.resourceExhausted,
      message: /as many calls as it takes/,
    });
  });

  test("a request that cannot be sent fails alone", async () => {
    const { masters, client, balancer } = await begin();
    const leases = client(LeasesClient);
    // Between the two limits lies what the balancer itself adds, less than 100 bytes.
    const messages = new Set<string>();
    for (let bytes = 15_500; bytes < 16_000; bytes += 40) {
      const metadata = new Metadata();
      metadata.set("big", "x".repeat(bytes));
      await call(leases, "create", {}, { metadata }).catch((error: StatusError) => {
        assert.equal(error.code, Code.resourceExhausted);
        messages.add(error.message);
      });
    }
    assert.ok(
      messages.has("master-0 reset the call for headers beyond a limit"),
      [...messages].join(),
    );
    assert.equal(balancer.status().retries, 0);
    assert.equal((await call(leases, "create", {})).metadata?.name, "master-0");
    assert.ok(masters[0].seen.length > 1);
  });

  test("a master's restart is noticed", async () => {
    const { masters, client, healthy } = await begin();
    await masters[2].kill();
    await eventually("it is out", () => healthy() === 2);
    for (let n = 0; n < 4; n++) await call(client(LeasesClient), "get", {});
    await masters[2].start();
    await eventually("it is back", () => healthy() === 3);
    const before = masters[2].seen.length;
    for (let n = 0; n < 6; n++) await call(client(LeasesClient), "get", {});
    assert.equal(masters[2].seen.length - before, 2);
  });

  test("a draining master ends its calls, and no call fails", async () => {
    const { masters, client, balancer } = await begin();
    const release = deferred();
    masters[0].handle = async () => {
      await release.promise;
      return { metadata: { name: "drained" } };
    };
    const leases = client(LeasesClient);
    const pending = call(leases, "create", {});
    await eventually("it has arrived", () => masters[0].seen.length === 1);
    const drained = masters[0].drain(10_000);
    for (let n = 0; n < 20; n++) await call(leases, "get", {});
    release.resolve();
    assert.equal((await pending).metadata?.name, "drained");
    assert.equal(balancer.status().refusals, 0);
    masters[0].cutStatus();
    await drained;
  });
});

describe("masters dying under load", () => {
  test("every call succeeds, and every write is done once", async () => {
    const { masters, client, healthy } = await begin();
    const done = new Set<string>();
    for (const master of masters) {
      master.handle = async (method, _, context) => {
        // What masters do with request ids: a repetition finds its result in their shared memory.
        if (method === "create") done.add(String(context.metadata.get("trireme-request-id")[0]));
        return {};
      };
    }
    const leases = client(LeasesClient);
    let acknowledged = 0;
    let stop = false;
    const workers = Array.from({ length: 16 }, async (_, worker) => {
      while (!stop) {
        await call(leases, worker % 2 === 0 ? "get" : "create", {});
        if (worker % 2 === 1) acknowledged++;
      }
    });
    for (let round = 0; round < 4; round++) {
      const before = acknowledged;
      const dying = masters[(round % 3) as 0 | 1 | 2];
      const next = masters[((round + 1) % 3) as 0 | 1 | 2];
      await dying.kill();
      for (const master of masters) {
        const role = master === next ? "leader" : "follower";
        master.set({ role, term: round + 2, leaderName: next.name });
      }
      await eventually("work goes on", () => acknowledged > before + 50);
      await dying.start();
      await eventually("it is back", () => healthy() === 3);
    }
    stop = true;
    await Promise.all(workers);
    assert.equal(done.size, acknowledged);
  });
});

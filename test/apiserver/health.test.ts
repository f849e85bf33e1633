/** What both ports of a master say of themselves by gRPC's health protocol: clients steer by it. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { call, connect, ServingStatus, serverStreamIterable } from "../../ha/rpc/mod.ts";
import { type DirectStore, openLocalStore } from "../../ha/store/mod.ts";
import type { MemberStatus } from "../../ha/store/types.ts";
import { HealthClient } from "../../proto/gen/health.ts";
import { limits } from "../../services/apiserver/limits.ts";
import { startApiserver, startEtcdServer } from "../../services/apiserver/mod.ts";
import { FakeAdmin } from "../etcd/support.ts";
import { eventually } from "../patience.ts";
import { restWorld } from "../rest/harness.ts";
import { createCa, type TestCa } from "../rpc/certs.ts";
import { memoryRuntime } from "../store/memory-runtime.ts";
import { quietLog } from "./harness.ts";

const { SERVING, NOT_SERVING } = ServingStatus;
const listen = { host: "127.0.0.1", port: 0 };

/** A store whose leader comes and goes, and which fails, as the test says. */
async function fickleStore(): Promise<{
  readonly store: DirectStore & { admin: FakeAdmin };
  lead(somebody: boolean): void;
  fail(failure: string | undefined): void;
}> {
  const local = await openLocalStore(memoryRuntime());
  const status = await local.status();
  const leaderless: MemberStatus = { ...status, leader: undefined };
  let present = leaderless;
  const listeners = new Set<(status: MemberStatus) => void>();
  const store = Object.assign(local, {
    admin: new FakeAdmin(local),
    status: async () => present,
    onStatus(listener: (status: MemberStatus) => void) {
      listeners.add(listener);
      listener(present);
      return () => listeners.delete(listener);
    },
  });
  const become = (next: MemberStatus) => {
    present = next;
    for (const listener of listeners) listener(present);
  };
  return {
    store,
    lead: (somebody) => become(somebody ? status : leaderless),
    fail: (failure) => become({ ...present, failure }),
  };
}

let ca: TestCa;
before(async () => {
  ca = await createCa();
});

interface Port {
  readonly port: number;
  close(): Promise<void>;
}

const faces: Readonly<
  Record<string, (store: Awaited<ReturnType<typeof fickleStore>>["store"]) => Promise<Port>>
> = {
  "the apiserver's port": async (store) =>
    startApiserver({
      ...{ name: "master-0", store, listen, log: quietLog },
      tls: { ...(await ca.server()), clientCa: ca.ca },
    }),
  "the etcd port": async (store) =>
    startEtcdServer({
      ...{ store, listen, log: quietLog },
      tls: { ...(await ca.server()), clientCa: ca.ca },
    }),
};
const services: Readonly<Record<string, string>> = {
  "the apiserver's port": "trireme.core.v1.Pods",
  "the etcd port": "etcdserverpb.KV",
};

test("a master whose disk failed says so by the name of the check, and is not ready", async () => {
  const { store, lead, fail } = await fickleStore();
  lead(true);
  const world = await restWorld({ store });
  try {
    fail("etcdserver: the disk failed");
    for (const path of ["/readyz", "/healthz"]) {
      const { status, text } = await world.ask(path);
      assert.equal(status, 500);
      assert.match(text, /^\[-\]etcd failed: etcdserver: the disk failed$/m);
    }
    assert.equal((await world.ask("/readyz/etcd-readiness")).status, 500);
    assert.equal((await world.ask("/livez")).status, 200);
  } finally {
    await world[Symbol.asyncDispose]();
    await store.close();
  }
});

describe("health", () => {
  const closing: (() => unknown)[] = [];
  after(async () => {
    for (const close of closing.reverse()) await close();
  });

  for (const [face, start] of Object.entries(faces)) {
    test(`of ${face}: not serving without a leader, and while it stops`, async () => {
      const { store, lead, fail } = await fickleStore();
      closing.push(() => store.close());
      const server = await start(store);
      closing.push(() => server.close());
      const client = connect(HealthClient, {
        addresses: [`127.0.0.1:${server.port}`],
        tls: { ca: ca.ca },
      });
      closing.push(() => client.close());
      const heard: (ServingStatus | undefined)[] = [];
      const ended = (async () => {
        for await (const { status } of serverStreamIterable(client, "watch", {}))
          heard.push(status);
      })().catch(() => {});
      const says = async (status: ServingStatus, length: number) => {
        await eventually("the watch tells", () => heard.length === length);
        assert.equal(heard.at(-1), status);
        for (const service of ["", services[face] ?? ""]) {
          assert.deepEqual(await call(client, "check", { service }), { status });
        }
      };
      await says(NOT_SERVING, 1);
      lead(true);
      await says(SERVING, 2);
      lead(false);
      await says(NOT_SERVING, 3);
      lead(true);
      await says(SERVING, 4);
      fail("etcdserver: the disk failed");
      await says(NOT_SERVING, 5);
      fail(undefined);
      await says(SERVING, 6);
      const begun = performance.now();
      await server.close();
      await ended;
      assert.deepEqual(heard.slice(6), [NOT_SERVING]);
      assert.ok(performance.now() - begun < limits.drainMillis, "a watch holds nothing up");
    });
  }
});

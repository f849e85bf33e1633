/** `trireme store` as processes, started with etcd's own flags. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { call, connect } from "../../ha/rpc/mod.ts";
import { noRestartExitCode } from "../../ha/runtime/production/process.ts";
import { ClusterClient, KVClient } from "../../proto/gen/etcd.ts";
import { freePorts } from "../ports.ts";
import { bytes } from "./requests.ts";

const main = new URL("../../services/cli/main.ts", import.meta.url).pathname;
const deadlineMillis = 60_000;

interface Store {
  readonly name: string;
  readonly client: string;
  readonly peer: string;
  readonly process: ChildProcess;
  output: string;
}

describe("members founded by their addresses, as etcd's are", () => {
  let directory: string;
  let ports: number[];
  const running = new Set<ChildProcess>();
  const stores: Store[] = [];

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "trireme-store-"));
    ports = await freePorts(10);
  });
  after(async () => {
    for (const child of running) child.kill("SIGKILL");
    await Promise.all([...running].map((child) => once(child, "exit")));
    await rm(directory, { recursive: true });
  });

  function start(at: number, cluster: string, more: readonly string[] = []): Store {
    const name = `m${at}`;
    const [client, peer] = [`127.0.0.1:${ports[2 * at]}`, `127.0.0.1:${ports[2 * at + 1]}`];
    const flags = {
      name,
      "data-dir": join(directory, name),
      "listen-client-urls": `http://${client}`,
      "advertise-client-urls": `http://${client}`,
      "listen-peer-urls": `http://${peer}`,
      "initial-advertise-peer-urls": `http://${peer}`,
      "initial-cluster": cluster,
      "initial-cluster-token": "a token of its own",
    };
    const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
    const child = spawn(process.execPath, [main, "store", ...args, ...more], { stdio: "pipe" });
    running.add(child);
    child.once("exit", () => running.delete(child));
    const store: Store = { name, client, peer, process: child, output: "" };
    const hear = (chunk: Buffer) => {
      store.output += chunk.toString();
    };
    child.stdout?.on("data", hear);
    child.stderr?.on("data", hear);
    return store;
  }

  const url = (at: number) => `m${at}=http://127.0.0.1:${ports[2 * at + 1]}`;
  const founders = () => [0, 1, 2].map(url).join();

  async function until<T>(what: string, store: Store, attempt: () => Promise<T>): Promise<T> {
    const deadline = performance.now() + deadlineMillis;
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        if (performance.now() > deadline) assert.fail(`${what}: ${error}\n${store.output}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  async function put(store: Store, value: string): Promise<void> {
    const kv = connect(KVClient, { addresses: [store.client] });
    try {
      const request = { key: Buffer.from(bytes("k")), value: Buffer.from(value) };
      await until("a put", store, () => call(kv, "put", request as never));
    } finally {
      kv.close();
    }
  }

  /** Asks for changes of the membership. */
  async function asked<T>(store: Store, ask: (client: ClusterClient) => Promise<T>): Promise<T> {
    const client = connect(ClusterClient, { addresses: [store.client] });
    try {
      return await until("a change of members", store, () => ask(client));
    } finally {
      client.close();
    }
  }

  async function exitOf(store: Store): Promise<number | null> {
    if (store.process.exitCode === null) {
      await once(store.process, "exit", { signal: AbortSignal.timeout(deadlineMillis) });
    }
    return store.process.exitCode;
  }

  test("three found a cluster, and a caller with another token is refused", async () => {
    stores.push(...[0, 1, 2].map((at) => start(at, founders())));
    await put(stores[0]!, "1");
    const other = start(3, [0, 3].map(url).join(), [
      "--initial-cluster-state=existing",
      "--initial-cluster-token=another",
    ]);
    await until("the refusal", other, async () => assert.match(other.output, /another token/));
    other.process.kill("SIGTERM");
    await exitOf(other);
    const listed = await asked(stores[1]!, (client) => call(client, "memberList", {} as never));
    assert.deepEqual(listed.members?.map(({ name }) => name).sort(), ["m0", "m1", "m2"]);
  });

  test("a member is added by its address, joins, and ends when it is removed", async () => {
    const peerURLs = [`http://127.0.0.1:${ports[9]}`];
    const early = start(4, [founders(), url(4)].join(), ["--initial-cluster-state=existing"]);
    const added = await asked(stores[0]!, (client) =>
      call(client, "memberAdd", { peerURLs, isLearner: true } as never),
    );
    assert.deepEqual(added.member?.peerURLs, peerURLs);
    const id = added.member?.ID;
    const member = async (client: ClusterClient) => {
      const { members } = await call(client, "memberList", { linearizable: true } as never);
      return members?.find(({ ID }) => ID === id);
    };
    await until("the joiner to start", early, async () => {
      const found = await asked(stores[0]!, member);
      assert.equal(found?.name, "m4");
      assert.match(found?.peerURLs?.[0] ?? "", /\?p2p=12D3KooW/);
    });
    await until("the promotion", early, () =>
      asked(stores[0]!, (client) => call(client, "memberPromote", { ID: id } as never)),
    );
    await put(early, "2");
    await asked(stores[0]!, (client) => call(client, "memberRemove", { ID: id } as never));
    assert.equal(await exitOf(early), noRestartExitCode);
    assert.match(early.output, /^trireme store: .*"m4" has been removed from the cluster/m);
  });

  test("a founder that is killed and loses its disk ends with what to do", async () => {
    stores[0]!.process.kill("SIGKILL");
    await exitOf(stores[0]!);
    await rm(join(directory, "m0"), { recursive: true });
    const wiped = start(0, founders());
    assert.equal(await exitOf(wiped), noRestartExitCode);
    assert.match(wiped.output, /^trireme store: .*has already been bootstrapped/m);
    // Without its key, too, it is known by its address.
    await rm(join(directory, "m0.key"));
    await rm(join(directory, "m0"), { recursive: true });
    const another = start(0, founders());
    assert.equal(await exitOf(another), noRestartExitCode);
    assert.match(another.output, /^trireme store: .*has already been bootstrapped/m);
    await put(stores[1]!, "3");
  });

  test("a founder that is removed ends, and so does the next start on its data", async () => {
    const { members } = await asked(stores[1]!, (client) =>
      call(client, "memberList", {} as never),
    );
    const gone = members?.find(({ name }) => name === "m0")?.ID;
    await asked(stores[1]!, (client) => call(client, "memberRemove", { ID: gone } as never));
    const id = members?.find(({ name }) => name === "m2")?.ID;
    await asked(stores[1]!, (client) => call(client, "memberRemove", { ID: id } as never));
    assert.equal(await exitOf(stores[2]!), noRestartExitCode);
    const again = start(2, founders());
    assert.equal(await exitOf(again), noRestartExitCode);
    assert.match(again.output, /has been removed from the cluster/);
    await put(stores[1]!, "4");
  });
});

test("flags are refused by name", async () => {
  const refused = async (args: readonly string[], text: RegExp) => {
    const child = spawn(process.execPath, [main, "store", ...args], { stdio: "pipe" });
    let output = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
    await once(child, "exit");
    assert.notEqual(child.exitCode, 0);
    assert.match(output, text);
  };
  await refused(["--snapshot-count=1000"], /--snapshot-count/);
  await refused(
    ["--listen-client-urls", "localhost:1"],
    /--listen-client-urls "localhost:1": http/,
  );
  await refused(["--initial-cluster-token="], /without a peer id: that needs a token/);
  await refused(["--cert-file=/none"], /--cert-file is for https:\/\//);
  await refused(["--listen-client-urls", "https://localhost:1"], /--cert-file is required/);
  await refused(
    ["--listen-client", "127.0.0.1:1", "--cert-file=x"],
    /--listen-client and --cert-file are not given together/,
  );
  await refused(["--initial-cluster", "default=http://a:1,default=http://b:1"], /is there twice/);
});

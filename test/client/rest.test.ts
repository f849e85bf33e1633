/** The client, the scheduler and the controllers on an apiserver's REST API. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer as createPlain, type ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { parseFlags, type Running } from "../../ha/runtime/production/process.ts";
import { Code, type StatusError } from "../../ha/runtime/status-error.ts";
import type { Deployment } from "../../proto/gen/apps.ts";
import { isConflict, isNotFound, type TriremeClient } from "../../services/client/mod.ts";
import { connectRest } from "../../services/client/rest/connect.ts";
import { program as controllerManager } from "../../services/controllers/mod.ts";
import { program as scheduler } from "../../services/scheduler/mod.ts";
import { eventually } from "../patience.ts";
import { type RestWorld, restWorld } from "../rest/harness.ts";
import { kubeconfigFile } from "../rest/kubeconfig.ts";
import { quietLog } from "./quiet-log.ts";

let world: RestWorld;
let config: Awaited<ReturnType<typeof kubeconfigFile>>;
let client: TriremeClient;

before(async () => {
  world = await restWorld();
  config = await kubeconfigFile(world);
  client = connectRest({ kubeconfig: config.file, program: "tester" });
});
after(async () => {
  client.close();
  await config[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
});

/** What a call fails with. */
async function refusal(call: Promise<unknown>): Promise<StatusError> {
  try {
    await call;
  } catch (thrown) {
    return thrown as StatusError;
  }
  return assert.fail("the call was a success");
}

const map = (name: string, data: Record<string, string> = {}) => ({
  metadata: { name, namespace: "default" },
  data,
});

test("objects are made, read, changed, listed in pages and deleted", async () => {
  const made = await client.configMaps.create(map("a", { x: "1" }), { fieldManager: "me" });
  assert.equal(made.kind, "ConfigMap");
  assert.equal(made.metadata?.managedFields?.[0]?.manager, "me");
  await client.configMaps.update({ ...made, data: { x: "2" } });
  const stale = await refusal(client.configMaps.update(made));
  assert.ok(isConflict(stale), String(stale));
  const patched = await client.configMaps.patch("a", "default", "merge", { data: { x: null } });
  assert.equal(patched.data, undefined);
  await client.configMaps.create(map("b"), { dryRun: true });
  await client.configMaps.create(map("c"));
  const first = await client.configMaps.list({ namespace: "default", limit: 1 });
  assert.equal(first.items.length, 1);
  assert.deepEqual([first.items[0]?.apiVersion, first.items[0]?.kind], ["v1", "ConfigMap"]);
  const next = first.continue;
  const omit = "metadata.managedFields" as const;
  const second = await client.configMaps.list({
    namespace: "default",
    limit: 5,
    continue: next,
    omit,
  });
  assert.ok(second.items.some(({ metadata }) => metadata?.name === "c"));
  assert.ok(second.items.every(({ metadata }) => metadata?.managedFields === undefined));
  await client.configMaps.delete("a", "default");
  const gone = await refusal(client.configMaps.get("a", "default"));
  assert.ok(isNotFound(gone), String(gone));
  assert.deepEqual(
    [gone.message, gone.detail?.kind, gone.detail?.name],
    ['configmaps "a" not found', "configmaps", "a"],
  );
});

test("a refused object comes back with its fields", async () => {
  const bad = await refusal(client.configMaps.create(map("Not A Name")));
  assert.equal(bad.code, Code.invalidArgument);
  assert.equal(bad.detail?.reason, "Invalid");
  assert.equal(bad.detail?.causes?.[0]?.field, "metadata.name");
});

test("a watch gives changes and bookmarks, and says when its revision is gone", async () => {
  const { resourceVersion } = await client.configMaps.list({ namespace: "default" });
  const abort = new AbortController();
  const seen: string[] = [];
  const watching = (async () => {
    for await (const { type, object } of client.configMaps.watch({
      ...{ namespace: "default", resourceVersion, signal: abort.signal },
    })) {
      seen.push(`${type} ${object.metadata?.name}`);
      if (type === "DELETED") return;
    }
  })();
  await client.configMaps.create(map("w"));
  await client.configMaps.delete("w", "default");
  await watching;
  assert.deepEqual(seen, ["ADDED w", "DELETED w"]);
  abort.abort();
  const odd = client.configMaps.watch({ namespace: "default", resourceVersion: "x" });
  const refused = await refusal(odd[Symbol.asyncIterator]().next());
  assert.equal(refused.code, Code.invalidArgument);
});

test("leaving a watch and aborting it end it at once", async () => {
  const abort = new AbortController();
  const one = client.configMaps.watch({ signal: abort.signal })[Symbol.asyncIterator]();
  await one.next();
  const next = one.next().then(
    () => one.next(),
    (error: unknown) => Promise.reject(error),
  );
  abort.abort();
  await assert.rejects(
    async () => {
      await next;
      for (;;) if ((await one.next()).done) return;
    },
    (error: StatusError) => error.code === Code.cancelled,
  );
});

test("objects of any kind go by their names in discovery", async () => {
  const found = await client.dynamic.discover();
  const deployments = found.find(({ kind }) => kind === "Deployment");
  assert.deepEqual(
    [deployments?.group, deployments?.plural, deployments?.namespaced],
    ["apps", "deployments", true],
  );
  const [only] = await client.dynamic.discover("policy");
  assert.equal(only?.group, "policy");
  const ref = { apiVersion: "v1", kind: "ConfigMap" };
  const metadata = { name: "dynamic", namespace: "default" };
  await client.dynamic.create({ ...ref, metadata, data: { x: "1" } });
  await client.dynamic.patch(ref, "dynamic", "default", "json", [
    { op: "replace", path: "/data/x", value: "2" },
  ]);
  const got = await client.dynamic.get(ref, "dynamic", "default");
  assert.deepEqual(got["data"], { x: "2" });
  const { items } = await client.dynamic.list({ apiVersion: "v1", resource: "configmaps" });
  assert.ok(items.some((item) => item.metadata?.name === "dynamic" && item.kind === "ConfigMap"));
  await client.dynamic.deleteCollection(ref, {
    namespace: "default",
    fieldSelector: "metadata.name=dynamic",
  });
  const unknown = client.dynamic.get({ apiVersion: "v1", kind: "Nothing" }, "x");
  await assert.rejects(unknown, (error: StatusError) => error.code === Code.notFound);
});

test("what only Trireme has is refused in words", async () => {
  await assert.rejects(client.heartbeat(), /needs an apiserver of Trireme/);
  await assert.rejects(client.cluster.status(), /needs an apiserver of Trireme/);
});

function flagsOf(file: string): string[] {
  return [`--kubeconfig=${file}`, "--leader-elect=false"];
}

const deployment = (image: string): Deployment => ({
  metadata: { name: "web", namespace: "apps" },
  spec: {
    replicas: 3,
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: { containers: [{ name: "c", image }] },
    },
  },
});

test("scheduler and controllers work on it", async () => {
  const running: Running[] = [];
  try {
    const { flags } = controllerManager;
    running.push(
      await controllerManager.start(parseFlags(flags, flagsOf(config.file)), quietLog),
      await scheduler.start(parseFlags(scheduler.flags, flagsOf(config.file)), quietLog),
    );
    for (const name of ["n1", "n2"]) {
      await client.nodes.create({ metadata: { name } });
      const allocatable = { cpu: "2", memory: "4Gi", pods: "110" };
      const conditions = [{ type: "Ready", status: "True" }];
      const patch = { status: { allocatable, conditions } };
      await client.nodes.patch(name, undefined, "merge", patch, { subresource: "status" });
    }
    await client.namespaces.create({ metadata: { name: "apps" } });
    await eventually("a service account", async () => {
      const { items } = await client.serviceAccounts.list({ namespace: "apps" });
      return items.length > 0;
    });
    await client.services.create({
      metadata: { name: "web", namespace: "apps" },
      spec: { selector: { app: "web" }, ports: [{ port: 80 }] },
    });
    await client.deployments.create(deployment("one"));
    const pods = async () => (await client.pods.list({ namespace: "apps" })).items;
    await eventually("three bound pods", async () => {
      return (await pods()).filter(({ spec }) => spec?.nodeName).length === 3;
    });
    for (const { metadata } of await pods()) {
      const status = {
        phase: "Running",
        podIP: "10.0.0.7",
        conditions: [{ type: "Ready", status: "True" }],
      };
      const name = metadata?.name ?? "";
      await client.pods.patch(name, "apps", "merge", { status }, { subresource: "status" });
    }
    await eventually("endpoints", async () => {
      const { items } = await client.endpointSlices.list({ namespace: "apps" });
      return items.some(({ endpoints = [] }) => endpoints.length === 3);
    });
    await eventually("an event of a binding", async () => {
      const { items } = await client.events.list({ namespace: "apps" });
      return items.some(({ reason }) => reason === "Scheduled");
    });
    await client.namespaces.delete("apps");
    await eventually("the pods to be deleted", async () => {
      return (await pods()).every(({ metadata }) => metadata?.deletionTimestamp !== undefined);
    });
    for (const { metadata } of await pods()) {
      await client.pods.delete(metadata?.name ?? "", "apps", { gracePeriodSeconds: 0 });
    }
    await eventually("the namespace to be gone", async () => {
      return (await client.namespaces.get("apps").catch(isNotFound)) === true;
    });
  } finally {
    await Promise.all(running.map((each) => each.stop()));
  }
});

test("flags that contradict each other are refused", async () => {
  for (const [args, words] of [
    [[], /--server or --kubeconfig is required/],
    [["--kubeconfig=x", "--server=a:1"], /--server is not given together with --kubeconfig/],
    [["--kubeconfig=/nowhere/x"], /cannot read the kubeconfig \/nowhere\/x/],
    [["--master=ftp://x"], /server "ftp:\/\/x": an https:\/\/ URL is wanted/],
  ] as const) {
    await assert.rejects(scheduler.start(parseFlags(scheduler.flags, args), quietLog), words);
  }
});

/** A server of HTTP/1.1 alone, that answers what the test wants. */
async function oldServer(answer: (response: ServerResponse) => void, secure: boolean) {
  const pair = await world.serverPair();
  const listener = (_: unknown, response: ServerResponse) => answer(response);
  const server = secure ? createServer(pair, listener) : createPlain(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port };
}

test("a server of HTTP/1.1 alone is spoken to as it wants, overloaded ones later", async () => {
  for (const secure of [true, false]) {
    let asked = 0;
    const { server, port } = await oldServer((response) => {
      if (asked++ === 0) {
        response.writeHead(429, { "retry-after": "0" }).end("later");
        return;
      }
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ kind: "ConfigMap", metadata: { name: "old" } }));
    }, secure);
    const directory = await mkdtemp(join(tmpdir(), "trireme-client-"));
    const file = join(directory, "kubeconfig");
    const ca = Buffer.from(world.ca).toString("base64");
    const cluster = { server: "https://unused", "certificate-authority-data": ca };
    await writeFile(
      file,
      JSON.stringify({
        clusters: [{ name: "c", cluster }],
        contexts: [{ name: "x", context: { cluster: "c", user: "" } }],
        "current-context": "x",
      }),
    );
    const master = `${secure ? "https" : "http"}://127.0.0.1:${port}`;
    const old = connectRest({ kubeconfig: file, master, program: "tester" });
    try {
      assert.equal((await old.configMaps.get("old", "default")).metadata?.name, "old");
      assert.equal(asked, 2);
    } finally {
      old.close();
      server.close();
      await rm(directory, { recursive: true });
    }
  }
});

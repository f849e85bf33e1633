/**
 * A kind that no program was compiled with is added while three masters run: served, listed and
 * watched by each, collected by the controllers, shown by the command line; and then taken away.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { parseFlags, type Running } from "../../ha/runtime/production/process.ts";
import { openLocalStore } from "../../ha/store/mod.ts";
import type { Store } from "../../ha/store/types.ts";
import {
  type Apiserver,
  type Authority,
  createAuthority,
  startApiserver,
} from "../../services/apiserver/mod.ts";
import { directories } from "../../services/cli/layout.ts";
import { connectClient, type TriremeClient } from "../../services/client/mod.ts";
import { program as controllerManager } from "../../services/controllers/mod.ts";
import { builtInRegistry, defineResource } from "../../services/kinds/mod.ts";
import { quietLog } from "../client/quiet-log.ts";
import { eventually } from "../patience.ts";
import { memoryRuntime } from "../store/memory-runtime.ts";

const names = ["master-0", "master-1", "master-2"];
const registries = names.map(() => builtInRegistry());
const masters: Apiserver[] = [];
const clients: TriremeClient[] = [];
let directory: string;
let authority: Authority;
let store: Store;
let controllers: Running;

const oar = defineResource({
  group: "galley.example.com",
  version: "v1",
  kind: "Oar",
  plural: "oars",
  shortNames: ["oa"],
  subresources: { status: true },
});
const ref = { apiVersion: "galley.example.com/v1", kind: "Oar" };

async function files(commonName: string, organizations: readonly string[]) {
  const pair = await authority.issue({ commonName, organizations, use: "client" });
  const path = (suffix: string) => join(directory, `${commonName.replaceAll(":", "-")}.${suffix}`);
  await writeFile(path("crt"), pair.cert);
  await writeFile(path("key"), pair.key);
  await writeFile(join(directory, "ca.crt"), authority.cert);
  return { ca: join(directory, "ca.crt"), cert: path("crt"), key: path("key"), pair };
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "trireme-kinds-"));
  authority = await createAuthority(directory);
  const hosts = ["127.0.0.1", "localhost"];
  const tls = await authority.issue({ commonName: "m", hosts, use: "server" });
  store = await openLocalStore(memoryRuntime());
  const admin = await files("admin", ["system:masters"]);
  for (const [index, name] of names.entries()) {
    const server = await startApiserver({
      name,
      store,
      registry: registries[index],
      listen: { host: "127.0.0.1", port: 0 },
      tls: { ...tls, clientCa: authority.cert },
      log: quietLog,
    });
    masters.push(server);
    clients.push(
      connectClient({
        servers: [`127.0.0.1:${server.port}`],
        tls: { ca: authority.cert, ...admin.pair },
        log: quietLog,
      }),
    );
  }
  const manager = await files("system:kube-controller-manager", []);
  controllers = await controllerManager.start(
    parseFlags(controllerManager.flags, [
      `--server=127.0.0.1:${masters[0]?.port}`,
      `--certificate-authority=${manager.ca}`,
      `--client-certificate=${manager.cert}`,
      `--client-key=${manager.key}`,
      "--leader-elect=false",
    ]),
    quietLog,
  );
  const endpoints = {
    grpcEndpoints: [`127.0.0.1:${masters[1]?.port}`],
    ca: admin.ca,
    clientCert: admin.cert,
    clientKey: admin.key,
  };
  await writeFile(directories(directory).endpoints, JSON.stringify(endpoints));
});

after(async () => {
  await controllers.stop();
  for (const client of clients) client.close();
  for (const master of masters) await master.close();
  await store.close();
  await rm(directory, { recursive: true, force: true });
});

async function cli(...args: string[]): Promise<string> {
  const main = join(import.meta.dirname, "../../services/cli/main.ts");
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, [main, ...args, "--data-dir", directory]);
  return stdout;
}

test("a kind is added, used and removed while three masters run", async () => {
  const [first, second, third] = clients;
  assert.ok(first && second && third);
  // Objects that were stored before the kind was known here are found when it is.
  await assert.rejects(first.dynamic.list(ref, { namespace: "default" }), /resource type/);
  const early = { ...ref, metadata: { name: "early", namespace: "default", uid: "u" } };
  await store.txn({
    compares: [],
    success: [
      {
        op: "put",
        key: Buffer.from("/registry/galley.example.com/oars/default/early"),
        value: Buffer.from(JSON.stringify(early)),
      },
    ],
    failure: [],
  });
  for (const registry of registries) registry.add(oar);

  for (const client of clients) {
    const { items } = await client.dynamic.list(ref, { namespace: "default" });
    assert.deepEqual(
      items.map(({ metadata }) => metadata?.name),
      ["early"],
    );
    const discovered = await client.dynamic.discover("galley.example.com");
    assert.deepEqual(
      discovered.map(({ plural }) => plural),
      ["oars"],
    );
  }
  const seen: string[] = [];
  const leave = new AbortController();
  const watching = (async () => {
    const events = third.dynamic.watch(ref, { namespace: "default", signal: leave.signal });
    for await (const { type, object } of events) seen.push(`${type} ${object.metadata?.name}`);
  })().catch((error: unknown) => {
    if (!leave.signal.aborted) throw error;
  });
  const owner = await first.configMaps.create({
    metadata: { name: "hull", namespace: "default" },
  });
  const { uid = "" } = owner.metadata ?? {};
  const made = await first.dynamic.create({
    ...ref,
    metadata: {
      name: "port-1",
      namespace: "default",
      ownerReferences: [{ apiVersion: "v1", kind: "ConfigMap", name: "hull", uid }],
    },
    spec: { length: 4 },
    status: { ignored: true },
  });
  assert.equal(made["status"], undefined, "the status of a new object starts empty");
  assert.equal(made.metadata?.generation, 1);
  const changed = await second.dynamic.patch(ref, "port-1", "default", "merge", {
    spec: { length: 5 },
  });
  assert.equal(changed.metadata?.generation, 2);
  await assert.rejects(
    second.dynamic.patch(ref, "port-1", "default", "strategic", { spec: {} }),
    /no merge keys/,
  );
  const got = await third.dynamic.get(ref, "port-1", "default");
  assert.deepEqual(got["spec"], { length: 5 });

  const shown = await cli("get", "oars");
  assert.match(shown, /^NAME +AGE\n(.*\n)*port-1 /m);
  assert.match(await cli("get", "oa", "early", "-o", "name"), /oar.*early/);

  await first.configMaps.delete("hull", "default");
  await eventually(
    "the garbage collector deletes what the config map owned",
    async () => (await first.dynamic.list(ref, { namespace: "default" })).items.length === 1,
  );
  await eventually("the watch tells of it", async () => seen.includes("DELETED port-1"));
  assert.deepEqual(
    seen.filter((each) => each.endsWith("port-1")),
    ["ADDED port-1", "MODIFIED port-1", "DELETED port-1"],
  );
  leave.abort();
  await watching;

  for (const registry of registries) registry.remove(oar);
  for (const client of clients) {
    await assert.rejects(client.dynamic.get(ref, "early", "default"), /resource type/);
    assert.deepEqual(await client.dynamic.discover("galley.example.com"), []);
  }
});

test("a kind that a user defines is served by each master as soon as one calls it established", async () => {
  const [first, second, third] = clients;
  assert.ok(first && second && third);
  const definitions = { apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition" };
  const group = "harbour.example.com";
  const sails = { apiVersion: `${group}/v1`, kind: "Sail" };
  const name = `sails.${group}`;
  const established = (async () => {
    for await (const { object } of second.dynamic.watch(definitions, {})) {
      const status = object["status"] as { conditions?: { type?: string; status?: string }[] };
      const found = status?.conditions?.find(({ type }) => type === "Established");
      if (object.metadata?.name === name && found?.status === "True") return;
    }
  })();
  await first.dynamic.create({
    ...definitions,
    metadata: { name },
    spec: {
      group,
      scope: "Namespaced",
      names: { plural: "sails", kind: "Sail" },
      versions: ["v1", "v1beta1"].map((version) => ({
        name: version,
        served: true,
        storage: version === "v1",
        schema: {
          openAPIV3Schema: {
            type: "object",
            properties: { spec: { type: "object", properties: { area: { type: "integer" } } } },
          },
        },
      })),
    },
  });
  await established;
  // Whichever master it is: what another has called established is served.
  const [found] = await third.dynamic.discover(group);
  assert.equal(found?.version, "v1");
  const owner = await first.configMaps.create({ metadata: { name: "mast", namespace: "default" } });
  const { uid = "" } = owner.metadata ?? {};
  await third.dynamic.create({
    ...sails,
    metadata: {
      name: "main",
      namespace: "default",
      ownerReferences: [{ apiVersion: "v1", kind: "ConfigMap", name: "mast", uid }],
    },
    spec: { area: 40 },
  });
  await first.namespaces.create({ metadata: { name: "dock" } });
  await second.dynamic.create({
    ...sails,
    metadata: { name: "spare", namespace: "dock" },
    spec: { area: 20 },
  });
  await assert.rejects(
    first.dynamic.create({
      ...sails,
      metadata: { name: "bad", namespace: "default" },
      spec: { area: "x" },
    }),
    /spec\.area in body must be of type integer: "string"/,
  );
  const all = async () => (await first.dynamic.list(sails, { namespace: "" })).items;
  assert.equal((await all()).length, 2);
  await first.configMaps.delete("mast", "default");
  await eventually(
    "what the config map owned is collected",
    async () => (await all()).length === 1,
  );
  await first.namespaces.delete("dock");
  await eventually("the namespace takes its sails along", async () => (await all()).length === 0);
  await third.dynamic.create({ ...sails, metadata: { name: "last", namespace: "default" } });
  await second.dynamic.delete(definitions, name, "");
  for (const client of clients) {
    await eventually("the kind is gone on each master", () =>
      client.dynamic.discover(group).then((kinds) => kinds.length === 0),
    );
  }
  const left = await store.range({
    key: Buffer.from(`/registry/${group}/`),
    rangeEnd: Buffer.from(`/registry/${group}0`),
  });
  assert.equal(left.kvs.length, 0);
});

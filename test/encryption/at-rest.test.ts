/** Objects that are encrypted in the store, and read as if they were not. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Store } from "../../ha/store/types.ts";
import { openEncryption } from "../../services/apiserver/storage/encryption/config-file.ts";
import { parseEncryptionConfiguration } from "../../services/apiserver/storage/encryption/configuration.ts";
import { Encryption } from "../../services/apiserver/storage/encryption/encryption.ts";
import { prefixRange } from "../../services/apiserver/storage/keys.ts";
import {
  create,
  documentBody,
  get,
  list,
  patch,
  remove,
  update,
  watch,
} from "../../services/apiserver/verbs/mod.ts";
import { builtInRegistry, type Document } from "../../services/kinds/mod.ts";
import {
  adminCall,
  configMap,
  fails,
  kind,
  make,
  quietLog,
  Reader,
  world,
} from "../apiserver/harness.ts";
import { eventually } from "../patience.ts";

const registry = builtInRegistry();
const secretOf = (name: string) => Buffer.alloc(32, name).toString("base64");
const keysOf = (names: string[]) =>
  `{keys: [${names.map((name) => `{name: ${name}, secret: ${secretOf(name)}}`).join(", ")}]}`;

/** Providers as `aesgcm:key1,key2` or `identity`. */
function configuration(resources: string[], ...providers: string[]): string {
  const listed = providers.map((provider) => {
    const [name = "", keys] = provider.split(":");
    return `{${name}: ${keys === undefined ? "{}" : keysOf(keys.split(","))}}`;
  });
  return (
    "{apiVersion: apiserver.config.k8s.io/v1, kind: EncryptionConfiguration, resources: " +
    `[{resources: [${resources.map((each) => JSON.stringify(each)).join(", ")}], ` +
    `providers: [${listed.join(", ")}]}]}`
  );
}

const rulesOf = (...providers: string[]) =>
  parseEncryptionConfiguration(configuration(["secrets"], ...providers), "e.yaml");
const encryptionOf = (...providers: string[]) => new Encryption(rulesOf(...providers), registry);

const secret = (name: string, password = "hunter2"): Document => ({
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name, namespace: "default" },
  data: { password: Buffer.from(password).toString("base64") },
});

/** What stands in the store, as text. */
async function raw(store: Store, prefix: string): Promise<string[]> {
  const { kvs } = await store.range(prefixRange(prefix));
  return kvs.map(({ value }) => Buffer.from(value).toString("latin1"));
}

const named = (name: string) => ({ name, namespace: "default" });

for (const provider of ["aesgcm", "aescbc", "secretbox"]) {
  test(`secrets are encrypted with ${provider}, and every verb works as before`, async () => {
    const encryption = encryptionOf(`${provider}:one`, "identity");
    await using w = await world({ encryption });
    const { backend } = w;
    const abort = new AbortController();
    const watcher = adminCall({ signal: abort.signal });
    const reader = new Reader(watch(backend, watcher, kind("secret"), {}), abort);
    const call = adminCall({ requestId: "same", digest: undefined });
    const made = await create(backend, call, kind("secret"), { body: documentBody(secret("a")) });
    const again = adminCall({ requestId: "same", attempt: 2 });
    const repeated = await create(backend, again, kind("secret"), {
      body: documentBody(secret("a")),
    });
    assert.equal(repeated.revision, made.revision);
    await make(backend, configMap("plain", { password: "hunter2" }));
    const [stored = ""] = await raw(w.store, "/registry/secrets/");
    assert.ok(stored.startsWith(`k8s:enc:${provider}:v1:one:`), stored.slice(0, 40));
    assert.doesNotMatch(stored, /aHVudGVyMg|password|Secret/);
    assert.match((await raw(w.store, "/registry/configmaps/")).join(), /hunter2/);
    const changed = await patch(backend, adminCall(), kind("secret"), {
      ...named("a"),
      patchType: "application/merge-patch+json",
      patch: Buffer.from('{"data":{"more":"eQ=="}}'),
    });
    const other = await w.another();
    await other.cache.waitFor(changed.revision);
    const read = await get(other, adminCall(), kind("secret"), named("a"));
    assert.deepEqual(read.document["data"], { password: "aHVudGVyMg==", more: "eQ==" });
    const page = await list(other, adminCall(), kind("secret"), {
      ...{ namespace: "default", resourceVersion: String(made.revision) },
      resourceVersionMatch: "Exact",
    });
    assert.deepEqual(
      page.items.map(({ document }) => document["data"]),
      [{ password: "aHVudGVyMg==" }],
    );
    await remove(backend, adminCall(), kind("secret"), named("a"));
    await eventually("the deletion", () => reader.items.some(({ type }) => type === "DELETED"));
    const told = reader.items.filter(({ object }) => object.name === "a");
    assert.deepEqual(
      told.map(({ type }) => type),
      ["ADDED", "MODIFIED", "DELETED"],
    );
    assert.deepEqual(told[2]?.object.document["data"], read.document["data"]);
    await reader.stop();
  });
}

test("a new first key comes to all objects by updates that change nothing", async () => {
  const encryption = encryptionOf("identity");
  await using w = await world({ encryption });
  const { backend } = w;
  await make(backend, secret("a"));
  const rewrite = async () => {
    const now = await get(backend, adminCall(), kind("secret"), named("a"));
    const body = documentBody(structuredClone(now.document));
    const write = { body, subresource: "", typed: false };
    return (await update(backend, adminCall(), kind("secret"), write)).revision - now.revision;
  };
  const stored = async () => (await raw(w.store, "/registry/secrets/"))[0] ?? "";
  assert.match(await stored(), /aHVudGVyMg/);
  assert.equal(await rewrite(), 0, "nothing changes, and nothing is to be re-encrypted");
  for (const [providers, prefix] of [
    [["aesgcm:one", "identity"], "k8s:enc:aesgcm:v1:one:"],
    [["aesgcm:two,one"], "k8s:enc:aesgcm:v1:two:"],
    [["secretbox:three", "aesgcm:two"], "k8s:enc:secretbox:v1:three:"],
    [["identity", "secretbox:three"], '{"apiVersion":"v1"'],
  ] as const) {
    encryption.replace(rulesOf(...providers));
    assert.ok((await rewrite()) > 0, prefix);
    assert.ok((await stored()).startsWith(prefix), prefix);
    assert.equal(await rewrite(), 0);
  }
});

test("a value that no key opens is told with its resource and key, and harms nothing else", async () => {
  await using w = await world({ encryption: encryptionOf("aesgcm:one") });
  const made = await make(w.backend, secret("a"));
  const encryption = encryptionOf("aesgcm:two");
  await using blind = await world({ store: w.store, encryption });
  await blind.backend.cache.waitFor(made.revision);
  const told =
    'Internal error occurred: unable to transform key "/registry/secrets/default/a": no matching ' +
    'prefix found: secrets "a" in namespace "default" is encrypted as k8s:enc:aesgcm:v1:one:, ' +
    "and no provider of --encryption-provider-config opens it";
  const call = adminCall();
  const read = async (work: () => Promise<{ json: Buffer }>) => (await work()).json;
  await fails(
    read(() => get(blind.backend, call, kind("secret"), named("a"))),
    "internal",
    told,
  );
  const selected = { namespace: "default", labelSelector: "x=y" };
  await fails(list(blind.backend, call, kind("secret"), selected), "internal", told);
  const body = documentBody(secret("a", "other"));
  const write = { body, subresource: "", typed: false };
  await fails(update(blind.backend, call, kind("secret"), write), "internal", told);
  await make(blind.backend, configMap("fine"));
  const other = await make(blind.backend, secret("b"));
  assert.equal(other.name, "b");
  // The key comes: what could not be read is read again.
  encryption.replace(rulesOf("aesgcm:two,one"));
  await eventually(
    "the secret is read again",
    () =>
      blind.backend.cache.of(kind("secret")).get("/registry/secrets/default/a")?.readable === true,
  );
  const now = await get(blind.backend, call, kind("secret"), named("a"));
  assert.deepEqual(now.document["data"], { password: "aHVudGVyMg==" });
  // A plain text where none may stand is not taken either.
  encryption.replace(rulesOf("aesgcm:three"));
  await w.store.txn({
    compares: [],
    success: [
      {
        op: "put",
        key: Buffer.from("/registry/secrets/default/c"),
        value: Buffer.from(JSON.stringify(secret("c"))),
      },
    ],
    failure: [],
  });
  await fails(
    read(() => get(blind.backend, call, kind("secret"), named("c"))),
    "internal",
    /secrets "c" in namespace "default" is stored without encryption/,
  );
});

test("wildcards reach every kind, custom ones by their group, and not what is no object", async () => {
  const text = configuration(["*.*"], "aesgcm:one");
  const encryption = new Encryption(parseEncryptionConfiguration(text, "e.yaml"), registry);
  await using w = await world({ encryption });
  await make(w.backend, {
    ...{ apiVersion: "v1", kind: "Service", metadata: { name: "s", namespace: "default" } },
    spec: { ports: [{ port: 80 }] },
  });
  const values = await raw(w.store, "/registry/");
  const plain = values.filter((value) => !value.startsWith("k8s:enc:aesgcm:v1:one:"));
  assert.ok(values.length > 50);
  const ranges = await raw(w.store, "/registry/ranges/");
  assert.deepEqual(plain, ranges);
  const key = Buffer.from("/registry/fleet.example.com/oars/default/o");
  const sealed = encryption.encrypted(key, Buffer.from("{}"));
  assert.match(Buffer.from(sealed).toString("latin1"), /^k8s:enc:aesgcm/);
});

test("a file that changes is read again; one that is wrong leaves the keys as they are", async () => {
  const directory = await mkdtemp(join(tmpdir(), "trireme-encryption-"));
  const file = join(directory, "e.yaml");
  await writeFile(file, configuration(["secrets"], "aesgcm:one"));
  const told: unknown[] = [];
  const log = { ...quietLog, error: (_: string, fields: unknown) => void told.push(fields) };
  let look = () => {};
  const opened = await openEncryption({
    ...{ file, reload: true, registry, log },
    clock: {
      every(_millis, run) {
        look = run;
        return () => {};
      },
    },
  });
  const key = Buffer.from("/registry/secrets/default/a");
  const prefix = () =>
    Buffer.from(opened.encryption.encrypted(key, Buffer.from("{}"))).toString("latin1", 0, 22);
  assert.equal(prefix(), "k8s:enc:aesgcm:v1:one:");
  await writeFile(file, "nonsense");
  look();
  await eventually("the error is told", () => told.length === 1);
  assert.equal(prefix(), "k8s:enc:aesgcm:v1:one:");
  await writeFile(file, configuration(["secrets"], "aesgcm:two", "aesgcm:one"));
  look();
  await eventually("the new key", () => prefix() === "k8s:enc:aesgcm:v1:two:");
  opened.close();
  await rm(directory, { recursive: true });
});

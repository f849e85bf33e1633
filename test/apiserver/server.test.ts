/** The whole server over TLS, with grpc-js as client. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { call, connect, serverStreamIterable } from "../../ha/rpc/mod.ts";
import { openLocalStore } from "../../ha/store/mod.ts";
import type { Store } from "../../ha/store/types.ts";
import { ScaleWrite } from "../../proto/gen/autoscaling.ts";
import { ClusterClient } from "../../proto/gen/cluster.ts";
import {
  Binding,
  ConfigMap,
  ConfigMapsClient,
  ConfigMapsService,
  Eviction,
  NodesClient,
  PodsClient,
} from "../../proto/gen/core.ts";
import { DynamicClient } from "../../proto/gen/dynamic.ts";
import {
  DeleteCollectionRequest,
  DeleteRequest,
  PatchRequest,
  WriteOptions,
} from "../../proto/gen/meta.ts";
import { NodeLivenessesClient } from "../../proto/gen/node.ts";
import {
  type Apiserver,
  type Authority,
  createAuthority,
  type KeyPair,
  startApiserver,
} from "../../services/apiserver/mod.ts";
import { eventually } from "../patience.ts";
import { memoryRuntime } from "../store/memory-runtime.ts";
import { fails, quietLog } from "./harness.ts";

let directory: string;
let authority: Authority;
let store: Store;
let server: Apiserver;
const identities = new Map<string, KeyPair>();
const clients: { close(): void }[] = [];

async function identity(commonName: string, ...organizations: string[]): Promise<void> {
  const pair = await authority.issue({ commonName, organizations, use: "client" });
  identities.set(commonName, pair);
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "trireme-apiserver-"));
  authority = await createAuthority(directory);
  await identity("admin", "system:masters");
  await identity("system:node:n1", "system:nodes");
  await identity("nobody");
  await identity("trireme:balancer");
  const tls = await authority.issue({ commonName: "m", hosts: ["127.0.0.1"], use: "server" });
  store = await openLocalStore(memoryRuntime());
  server = await startApiserver({
    name: "master-0",
    store,
    listen: { host: "127.0.0.1", port: 0 },
    tls: { ...tls, clientCa: authority.cert },
    heartbeats: { intervalMillis: 40, writeMillis: 40, minMillis: 1 },
    log: quietLog,
  });
  const cluster = client(ClusterClient, "admin");
  for await (const status of serverStreamIterable(cluster, "watchStatus", {})) {
    if (status.ready) break;
  }
});

after(async () => {
  for (const each of clients) each.close();
  await server.close();
  await store.close();
  await rm(directory, { recursive: true });
});

function client<C extends import("@grpc/grpc-js").Client>(
  Client: import("../../ha/rpc/mod.ts").ClientConstructor<C>,
  who: string | undefined,
): C {
  const pair = who === undefined ? {} : identities.get(who);
  const made = connect(Client, {
    addresses: [`127.0.0.1:${server.port}`],
    tls: { ca: authority.cert, ...pair },
  });
  clients.push(made);
  return made;
}

const at = { namespace: "default" };

test("a watch sends its headers when it stands, and only then", async () => {
  const answered = (stream: import("@grpc/grpc-js").ClientReadableStream<unknown>) =>
    new Promise<string>((resolve) => {
      stream.on("metadata", () => resolve("headers"));
      stream.on("data", () => resolve("event"));
      stream.on("error", (error) => resolve(`error ${"code" in error ? error.code : ""}`));
    });
  const maps = client(ConfigMapsClient, "admin");
  const empty = { namespace: "nothing-here" };
  const made = { ...empty, resourceVersion: String((await store.status()).revision) };
  const watches = [
    maps.watch(empty),
    maps.watch(made),
    client(DynamicClient, "admin").watch({ ref: { resource: "cm" }, watch: empty }),
    client(ClusterClient, "admin").watchStatus({}),
  ];
  const firsts = await Promise.all(watches.map(answered));
  for (const watch of watches) watch.cancel();
  assert.deepEqual(
    firsts,
    watches.map(() => "headers"),
  );
  assert.equal(await answered(client(ConfigMapsClient, "nobody").watch(empty)), "error 7");
  assert.equal(await answered(client(ConfigMapsClient, undefined).watch(empty)), "error 16");
  assert.equal(await answered(maps.watch({ ...empty, timeoutSeconds: -1 })), "error 3");
  const logs = client(PodsClient, "admin").logs({ ...empty, name: "absent" });
  assert.equal(await answered(logs), "error 5");
});

test("typed and dynamic faces show the same objects", async () => {
  const maps = client(ConfigMapsClient, "admin");
  const dynamic = client(DynamicClient, "admin");
  const object = { metadata: { name: "typed" }, data: { k: "v" } };
  const made = await call(maps, "create", { object, ...at });
  assert.equal(made.kind, "ConfigMap");
  const read = await call(dynamic, "get", {
    ref: { resource: "cm" },
    get: { ...at, name: "typed" },
  });
  assert.deepEqual(JSON.parse(read.json!.toString()), JSON.parse(JSON.stringify(made)));
  const json = Buffer.from(
    JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "json" } }),
  );
  await call(dynamic, "create", { json, ...at });
  const listed = await call(maps, "list", at);
  assert.deepEqual(
    listed.items?.map((each) => each.metadata?.name),
    ["json", "typed"],
  );
  const list = await call(dynamic, "list", { ref: { kind: "ConfigMap" }, list: at });
  assert.equal(JSON.parse(list.json!.toString()).items.length, 2);
  const watched: string[] = [];
  for await (const event of serverStreamIterable(maps, "watch", at)) {
    watched.push(`${event.type} ${event.object?.metadata?.name}`);
    if (watched.length === 2) break;
  }
  assert.deepEqual(watched, ["ADDED json", "ADDED typed"]);
  const updated = await call(maps, "update", { object: { ...made, data: { k: "2" } } });
  assert.deepEqual(updated.data, { k: "2" });
  const gone = await call(maps, "delete", { ...at, name: "json" });
  assert.equal(gone.status, "Success");
  const error = await fails(
    call(maps, "get", { ...at, name: "json" }),
    "notFound",
    'configmaps "json" not found',
  );
  assert.equal(error.detail?.reason, "NotFound");
  await fails(
    call(dynamic, "get", { ref: { resource: "unicorns" }, get: { name: "x" } }),
    "notFound",
    `the server doesn't have a resource type "unicorns"`,
  );
});

test("a caller says who it is, also for discovery", async () => {
  const anonymous = client(DynamicClient, undefined);
  await fails(
    call(anonymous, "discover", {}),
    "permissionDenied",
    'forbidden: User "system:anonymous" cannot get path "/apis"',
  );
  const discovered = await call(client(DynamicClient, "nobody"), "discover", {});
  assert.ok(discovered.resources?.some((each) => each.kind === "Deployment"));
  await fails(
    call(anonymous, "list", { ref: { kind: "Pod" }, list: {} }),
    "unauthenticated",
    /^Unauthorized: present a client certificate/,
  );
  await fails(
    call(client(PodsClient, "nobody"), "list", at),
    "permissionDenied",
    'pods is forbidden: User "nobody" cannot list resource "pods" in API group "" in the ' +
      'namespace "default"',
  );
  const proxied = new Metadata();
  proxied.set("x-remote-user", "someone");
  proxied.set("x-remote-group", "system:masters");
  const balancer = client(PodsClient, "trireme:balancer");
  const list = await call(balancer, "list", at, { metadata: proxied });
  assert.equal(list.kind, "PodList");
  await fails(
    call(client(PodsClient, "nobody"), "list", at, { metadata: proxied }),
    "permissionDenied",
    /User "nobody" cannot list/,
  );
});

test("whom a call comes from is asked anew where its headers have a say", async () => {
  const named = (fields: Readonly<Record<string, string>>) => {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(fields)) metadata.set(name, value);
    return { metadata };
  };
  const master = named({ "x-remote-user": "someone", "x-remote-group": "system:masters" });
  const other = named({ "x-remote-user": "another" });
  const impersonating = named({ "impersonate-user": "another" });
  const balancer = client(PodsClient, "trireme:balancer");
  const admin = client(PodsClient, "admin");
  const refusal = /User "another" cannot list/;
  // More than once each: the second time the connection has seen these very headers before.
  for (let turn = 0; turn < 3; turn++) {
    await call(balancer, "list", at, master);
    await fails(call(balancer, "list", at, other), "permissionDenied", refusal);
    await fails(call(balancer, "list", at), "permissionDenied", /User "trireme:balancer" cannot/);
    await call(admin, "list", at);
    await fails(call(admin, "list", at, impersonating), "permissionDenied", refusal);
    await call(admin, "list", at, named({ "trireme-attempt": "2" }));
  }
});

test("the request id makes a repeat harmless over the wire", async () => {
  const maps = client(ConfigMapsClient, "admin");
  const metadata = new Metadata();
  metadata.set("trireme-request-id", "wire-1");
  const object = { metadata: { name: "once" } };
  const first = await call(maps, "create", { object, ...at }, { metadata });
  const repeat = metadata.clone();
  repeat.set("trireme-attempt", "2");
  const second = await call(maps, "create", { object, ...at }, { metadata: repeat });
  assert.deepEqual(second, first);
});

test("a typed write brings its warnings in a trailer", async () => {
  const pods = client(PodsClient, "admin");
  const spec = { containers: [{ name: "c", image: "i" }], imagePullSecrets: [{ name: "s" }] };
  const trailer = await new Promise<Metadata>((resolve, reject) => {
    const sent = pods.create({ object: { metadata: { name: "w" }, spec }, ...at }, (error) => {
      if (error !== null) reject(error);
    });
    sent.on("status", ({ metadata }) => resolve(metadata));
  });
  assert.deepEqual(trailer.get("warning"), [
    '299 - "spec.imagePullSecrets: no images are pulled from registries, it has no effect"',
  ]);
  await call(pods, "delete", { name: "w", ...at });
});

test("heartbeats: statuses are written, liveness costs one object", async () => {
  const nodes = client(NodesClient, "system:node:n1");
  const pods = client(PodsClient, "admin");
  await call(nodes, "create", { object: { metadata: { name: "n1" } } });
  const pod = await call(pods, "create", {
    object: { metadata: { name: "p" }, spec: { containers: [{ name: "c", image: "i" }] } },
    ...at,
  });
  await call(pods, "bind", { metadata: { name: "p", ...at }, target: { name: "n1" } });
  const stream = nodes.heartbeat();
  stream.on("error", () => {});
  const answers = stream[Symbol.asyncIterator]();
  const ready = { type: "Ready", status: "True", lastHeartbeatTime: "2026-01-01T00:00:00Z" };
  const report = { name: "p", ...at, uid: pod.metadata?.uid };
  const status = { phase: "Running", conditions: [{ type: "Ready", status: "True" }] };
  const say = async (request: object) => {
    stream.write({ nodeName: "n1", ...request });
    return (await answers.next()).value;
  };
  const answer = await say({
    sequence: 1,
    status: { capacity: { cpu: "2" }, conditions: [ready] },
    kubeletPort: 10250,
    pods: [
      { ...report, status },
      { ...report, uid: "other", status },
      { ...report, name: "none" },
    ],
  });
  assert.equal(answer.registered, true);
  assert.deepEqual(
    answer.pods.map((each: { code: number }) => each.code),
    [200, 409, 404],
  );
  const node = await call(nodes, "get", { name: "n1" });
  assert.equal(node.status?.daemonEndpoints?.kubeletEndpoint?.Port, 10250);
  const later = { ...ready, lastHeartbeatTime: "2026-01-01T00:00:09Z" };
  await say({ sequence: 2, status: { capacity: { cpu: "2" }, conditions: [later] } });
  const unchanged = await call(nodes, "get", { name: "n1" });
  assert.equal(unchanged.metadata?.resourceVersion, node.metadata?.resourceVersion);
  const written = await call(pods, "get", { ...at, name: "p" });
  assert.deepEqual(written.status?.conditions?.map((each) => each.type).sort(), [
    "PodScheduled",
    "Ready",
  ]);
  const liveness = client(NodeLivenessesClient, "admin");
  let beats = 0;
  let closed = false;
  const watching = (async () => {
    for await (const event of serverStreamIterable(liveness, "watch", {})) {
      beats += 1;
      const beat = event.object?.nodes?.["n1"];
      closed = beat?.streamOpen === false && beat.streamClosedTime !== undefined;
      if (closed) break;
    }
  })();
  await eventually("the liveness object", () => beats > 0);
  const heldMeta = { name: "h", finalizers: ["example.com/held"] };
  const held = await call(pods, "create", {
    object: { metadata: heldMeta, spec: { containers: [{ name: "c", image: "i" }] } },
    ...at,
  });
  await call(pods, "bind", { metadata: { name: "h", ...at }, target: { name: "n1" } });
  const heldReport = { name: "h", ...at, uid: held.metadata?.uid, removed: true };
  const told = await say({
    sequence: 3,
    pods: [{ ...heldReport, status: { phase: "Succeeded" } }],
  });
  assert.equal(told.pods[0]?.code, 200);
  const kept = await call(pods, "get", { ...at, name: "h" });
  assert.ok(kept.metadata?.deletionTimestamp);
  assert.equal(kept.status?.phase, "Succeeded", "how a held pod ended is told");
  const removed = await say({ sequence: 4, pods: [{ ...report, removed: true }] });
  assert.equal(removed.pods[0]?.code, 200);
  await fails(call(pods, "get", { ...at, name: "p" }), "notFound", 'pods "p" not found');
  stream.end();
  await watching;
  assert.ok(closed);
  const all = await call(liveness, "list", {});
  assert.deepEqual(
    all.items?.map((each) => each.metadata?.name),
    ["master-0"],
  );
  const foreign = client(NodesClient, "nobody").heartbeat();
  const refused = new Promise<Error>((resolve) => foreign.on("error", resolve));
  foreign.write({ nodeName: "n1" });
  assert.match((await refused).message, /cannot send heartbeats of node "n1"/);
});

test("logs say what stands in their way", async () => {
  const pods = client(PodsClient, "admin");
  const containers = [{ name: "c", image: "i" }];
  await call(pods, "create", { object: { metadata: { name: "q" }, spec: { containers } }, ...at });
  const first = serverStreamIterable(pods, "logs", { ...at, name: "q" }).next();
  await fails(first, "invalidArgument", "pod q does not have a host assigned");
  const bad = serverStreamIterable(pods, "logs", { ...at, name: "q", container: "x" }).next();
  await fails(bad, "invalidArgument", "container x is not valid for pod q");
});

test("typed writes with fields that the contract does not know: Strict, Warn and Ignore", async () => {
  const maps = client(ConfigMapsClient, "admin");
  const unknown = [0x9a, 0x06, 0x01, 0x78]; // field 99, "x"
  /** Creates with an unknown field in the object, and another beside it. */
  const create = (name: string, fieldValidation?: string) => {
    const object = ConfigMap.encode({ metadata: { name, namespace: "default" } }).finish();
    const options = WriteOptions.encode({ ...(fieldValidation && { fieldValidation }) }).finish();
    const bytes = Buffer.from([
      ...[0x0a, object.length + unknown.length, ...object, ...unknown],
      ...[0x1a, options.length, ...options],
      ...unknown,
    ]);
    const { path, responseDeserialize } = ConfigMapsService.create;
    return new Promise<ConfigMap>((resolve, reject) => {
      maps.makeUnaryRequest(
        path,
        (raw: Buffer) => raw,
        responseDeserialize,
        bytes,
        (error, answer) => (error ? reject(error) : resolve(answer ?? {})),
      );
    });
  };
  const text =
    'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: ' +
    'unknown field 99 of "object", unknown field 99';
  for (const mode of [undefined, "Strict"]) {
    const error = (await create("unknown", mode).catch((thrown) => thrown)) as ServiceError;
    assert.equal(error.code, status.INVALID_ARGUMENT);
    assert.equal(error.details, text);
  }
  for (const mode of ["Warn", "Ignore"]) {
    const name = `unknown-${mode.toLowerCase()}`;
    const { metadata } = await create(name, mode);
    assert.equal(metadata?.name, name);
  }
});

test("other typed writes are held to their contracts, too", async () => {
  const maps = client(ConfigMapsClient, "admin");
  const pods = client(PodsClient, "admin");
  await call(maps, "create", { object: { metadata: { name: "kept", namespace: "default" } } });
  const unknown = Buffer.from([0x9a, 0x06, 0x01, 0x78]); // field 99, "x"
  const send = (path: string, request: Uint8Array) =>
    new Promise<ServiceError | { warning: string[] }>((resolve) => {
      const raw = (bytes: Buffer) => bytes;
      const bytes = Buffer.concat([request, unknown]);
      const sent = pods.makeUnaryRequest(path, raw, raw, bytes, (error) => {
        if (error) resolve(error);
      });
      sent.on("status", ({ code, metadata }) => {
        if (code === status.OK) resolve({ warning: metadata.get("warning").map(String) });
      });
    });
  const named = { name: "kept", namespace: "default" };
  const target = { kind: "Node", name: "n1" };
  const patch = { ...named, patchType: "application/merge-patch+json", patch: Buffer.from("{}") };
  for (const [path, request] of [
    ["trireme.core.v1.ConfigMaps/Delete", DeleteRequest.encode(named)],
    ["trireme.core.v1.ConfigMaps/DeleteCollection", DeleteCollectionRequest.encode({})],
    ["trireme.core.v1.ConfigMaps/Patch", PatchRequest.encode(patch)],
    ["trireme.core.v1.Pods/Bind", Binding.encode({ metadata: named, target })],
    ["trireme.core.v1.Pods/Evict", Eviction.encode({ metadata: named })],
    ["trireme.apps.v1.Deployments/UpdateScale", ScaleWrite.encode({ object: {} })],
  ] as const) {
    const error = await send(`/${path}`, request.finish());
    assert.ok("code" in error, path);
    assert.equal(error.code, status.INVALID_ARGUMENT, path);
    assert.match(error.details, /: strict decoding error: unknown field 99$/, path);
  }
  const patched = async (fieldValidation: string) => {
    const request = PatchRequest.encode({ ...patch, options: { fieldValidation } }).finish();
    return await send("/trireme.core.v1.ConfigMaps/Patch", request);
  };
  const { warning } = (await patched("Warn")) as { warning: string[] };
  assert.match(warning.join(), /unknown field 99/);
  assert.deepEqual(await patched("Ignore"), { warning: [] });
  const kept = (await call(maps, "get", named)) as ConfigMap;
  assert.equal(kept.metadata?.name, "kept");
});

test("an administrator is told how many pods are in which state", async () => {
  const pods = (who: string, limit?: number) => call(client(ClusterClient, who), "pods", { limit });
  const spec = { containers: [{ name: "main", image: "busybox" }] };
  const metadata = { name: "counted", namespace: "default" };
  await call(client(PodsClient, "admin"), "create", { object: { metadata, spec } });
  const line = await eventually("the pod is counted", async () => {
    const { statuses = {}, pods: named = [] } = await pods("admin", 500);
    const found = named.find(({ name }) => name === "counted");
    return found && { ...found, counted: (statuses["Pending"] ?? 0) >= 1 };
  });
  assert.deepEqual(line, { ...metadata, status: "Pending", counted: true });
  assert.deepEqual((await pods("admin")).pods ?? [], []);
  await fails(pods("admin", 501), "invalidArgument", "limit: 501, at most 500 pods are named");
  await fails(pods("nobody", 1), "permissionDenied", /cannot get path "\/cluster\/pods"/);
});

/** Every face shows the same objects, with the same warnings and refusals. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { call, connect } from "../../ha/rpc/mod.ts";
import { StatusError } from "../../ha/runtime/status-error.ts";
import { ConfigMapsClient, type Pod, PodsClient } from "../../proto/gen/core.ts";
import { DynamicClient } from "../../proto/gen/dynamic.ts";
import { type RestWorld, restWorld } from "./harness.ts";

let world: RestWorld;
let dynamic: DynamicClient;
let maps: ConfigMapsClient;
let pods: PodsClient;

before(async () => {
  world = await restWorld();
  const tls = { ca: world.ca, ...world.admin };
  const options = { addresses: [`127.0.0.1:${world.server.port}`], tls };
  dynamic = connect(DynamicClient, options);
  maps = connect(ConfigMapsClient, options);
  pods = connect(PodsClient, options);
});
after(async () => {
  for (const client of [dynamic, maps, pods]) client.close();
  await world[Symbol.asyncDispose]();
});

const namespace = "default";
const within = { deadlineMillis: 20_000 };
const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString("utf8");

/** What is told of a refusal, the same whatever the wire. */
interface Refusal {
  readonly message: string;
  readonly reason: string | undefined;
  readonly causes: unknown;
}

async function refusalOf(asked: Promise<unknown>): Promise<Refusal> {
  try {
    await asked;
  } catch (thrown) {
    const { message, detail } = StatusError.from(thrown);
    return { message, reason: detail?.reason, causes: causesOf(detail?.causes) };
  }
  return { message: "was taken", reason: undefined, causes: [] };
}

const causesOf = (causes: readonly object[] = []) =>
  causes.map((cause) => ({ field: "", ...cause }));

const plain = (value: unknown) => JSON.parse(JSON.stringify(value));

test("one object, written by each face, is one document for all of them", async () => {
  const data = { k: "v", "a.txt": "1\n2 ü", empty: "" };
  const metadata = (name: string) => ({ name, namespace, labels: { a: "b" }, finalizers: [] });
  const body = (name: string) => ({
    ...{ apiVersion: "v1", kind: "ConfigMap", metadata: metadata(name), data },
  });
  await call(maps, "create", { object: body("typed") }, within);
  await call(
    dynamic,
    "create",
    {
      ref: { resource: "configmaps" },
      namespace,
      json: Buffer.from(JSON.stringify(body("dynamic"))),
    },
    within,
  );
  const path = `/api/v1/namespaces/${namespace}/configmaps`;
  await world.ask(path, { method: "POST", body: body("json") });
  const headers = { "content-type": "application/vnd.kubernetes.protobuf" };
  const sent = protobufOf("protobuf", data);
  const answer = await world.ask(path, { method: "POST", body: sent, headers });
  assert.equal(answer.status, 201, answer.text);
  const seen: unknown[] = [];
  for (const name of ["typed", "dynamic", "json", "protobuf"]) {
    const rest = await world.ask(`${path}/${name}`);
    const got = await call(
      dynamic,
      "get",
      { ref: { resource: "configmaps" }, get: { namespace, name } },
      within,
    );
    assert.equal(text(got.json), rest.text.trimEnd(), name);
    const typed = await call(maps, "get", { namespace, name }, within);
    assert.deepEqual(plain(typed.data), rest.json.data);
    assert.equal(typed.metadata?.uid, rest.json.metadata.uid);
    assert.equal(typed.metadata?.resourceVersion, rest.json.metadata.resourceVersion);
    const { data: shown, metadata: meta } = rest.json;
    seen.push({ shown, labels: meta.labels, keys: Object.keys(rest.json) });
  }
  for (const each of seen.slice(1)) assert.deepEqual(each, seen[0]);
});

function protobufOf(name: string, data: Record<string, string>): Buffer {
  const bytes = (parts: [number, string | Uint8Array][]) => {
    const writer = new BinaryWriter();
    for (const [field, value] of parts) {
      writer.tag(field, WireType.LengthDelimited);
      if (typeof value === "string") writer.string(value);
      else writer.bytes(value);
    }
    return writer.finish();
  };
  const entry = (key: string, value: string) =>
    bytes([
      [1, key],
      [2, value],
    ]);
  const metadata = bytes([
    [1, name],
    [11, entry("a", "b")],
  ]);
  const entries = Object.entries(data).map(
    ([key, value]) => [2, entry(key, value)] as [number, Uint8Array],
  );
  const meta = bytes([
    [1, "v1"],
    [2, "ConfigMap"],
  ]);
  const raw = bytes([[1, metadata], ...entries]);
  return Buffer.concat([
    Buffer.from("k8s\0", "latin1"),
    bytes([
      [1, meta],
      [2, raw],
    ]),
  ]);
}

const container = { name: "c", image: "i" };
const pod = (spec: object, metadata: object = { name: "bad" }) => ({
  ...{ apiVersion: "v1", kind: "Pod", metadata, spec },
});

/** Bad pods that a typed message can carry too. */
const badPods: readonly object[] = [
  pod({}),
  pod({ containers: [] }),
  pod({ containers: [{ image: "i" }] }),
  pod({ containers: [{ name: "c" }] }),
  pod({ containers: [{ name: "C_", image: "i" }] }),
  pod({ containers: [container, container] }),
  pod({ containers: [container] }, { name: "Bad_Name" }),
  pod({ containers: [container] }, {}),
  pod({ containers: [container] }, { name: "x".repeat(254) }),
  pod({ containers: [container] }, { name: "bad", labels: { "a b": "c" } }),
  pod({ containers: [container] }, { name: "bad", labels: { a: "c d" } }),
  pod({ containers: [container] }, { name: "bad", annotations: { "/": "" } }),
  pod({ containers: [container] }, { name: "bad", resourceVersion: "7" }),
  pod({ containers: [container] }, { name: "bad", namespace: "other" }),
  pod({ containers: [container], restartPolicy: "Sometimes" }),
  pod({ containers: [{ ...container, imagePullPolicy: "Now" }] }),
  pod({ containers: [{ ...container, ports: [{ containerPort: 70_000 }] }] }),
  pod({ containers: [{ ...container, volumeMounts: [{ name: "v", mountPath: "/v" }] }] }),
  pod({ containers: [{ ...container, env: [{ name: "a=b", value: "c" }] }] }),
  pod({ containers: [container], activeDeadlineSeconds: -1 }),
  pod({ containers: [container], volumes: [{ name: "v", secret: {}, emptyDir: {} }] }),
  pod({ containers: [container], serviceAccountName: "A b" }),
  pod({
    containers: [{ ...container, resources: { limits: { cpu: "1" }, requests: { cpu: "2" } } }],
  }),
];

test("containers are added and resized by the typed methods as by the subresources", async () => {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  const made = await world.ask(path, {
    method: "POST",
    body: pod({ containers: [container] }, { name: "grown" }),
  });
  assert.equal(made.status, 201, made.text);
  const debug = { name: "debug", image: "busybox" };
  const get = async () => call(pods, "get", { namespace, name: "grown" }, within);
  const object = await get();
  object.metadata!.labels = { not: "taken" };
  object.spec!.ephemeralContainers = [debug];
  const grown = await call(pods, "updateEphemeralContainers", { object }, within);
  assert.equal(grown.spec?.ephemeralContainers?.[0]?.imagePullPolicy, "Always");
  assert.equal(grown.metadata?.labels?.["not"], undefined);
  const { json } = await world.ask(`${path}/grown/ephemeralcontainers`);
  assert.deepEqual(plain(grown.spec?.ephemeralContainers), json.spec.ephemeralContainers);
  const changed = await get();
  changed.spec!.ephemeralContainers![0]!.image = "other";
  const words = await refusalOf(
    call(pods, "updateEphemeralContainers", { object: changed }, within),
  );
  const body = {
    ...json,
    spec: { ...json.spec, ephemeralContainers: [{ ...debug, image: "other" }] },
  };
  const refused = await world.ask(`${path}/grown/ephemeralcontainers`, { method: "PUT", body });
  assert.equal(refused.status, 422);
  assert.equal(words.message, refused.json.message);
  const small = await get();
  small.spec!.containers![0]!.resources = { requests: { cpu: "10m" } };
  const bad = await refusalOf(call(pods, "updateResize", { object: small }, within));
  const asJson = await world.ask(`${path}/grown/resize`, { method: "PUT", body: plain(small) });
  assert.deepEqual([asJson.status, bad.message], [422, asJson.json.message]);
});

test("what cannot be decoded is refused in the same words as JSON by REST and by Dynamic", async () => {
  const claim = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gb" } } };
  const rows: readonly (readonly [plural: string, kind: string, spec: object])[] = [
    ...["1x", "", "1.2.3", "0x1", true, {}].map((cpu) => {
      const requests = { cpu };
      return ["pods", "Pod", { containers: [{ ...container, resources: { requests } }] }] as const;
    }),
    ["pods", "Pod", { containers: "none" }],
    ["resourcequotas", "ResourceQuota", { hard: { pods: "abc" } }],
    ["persistentvolumeclaims", "PersistentVolumeClaim", claim],
    ["limitranges", "LimitRange", { limits: [{ type: "Container", max: { cpu: "z" } }] }],
  ];
  for (const [plural, kind, spec] of rows) {
    const body = { apiVersion: "v1", kind, metadata: { name: "bad", namespace }, spec };
    const path = `/api/v1/namespaces/${namespace}/${plural}`;
    const { status, json } = await world.ask(path, { method: "POST", body });
    assert.equal(status, 400, json.message);
    assert.match(
      json.message,
      new RegExp(`^${kind} in version "v1" cannot be handled as a ${kind}: `),
    );
    const sent = Buffer.from(JSON.stringify(body));
    const refusal = await refusalOf(call(dynamic, "create", { namespace, json: sent }, within));
    assert.deepEqual([refusal.message, refusal.reason], [json.message, json.reason]);
  }
});

test("bad objects are refused in the same words by every face", async () => {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  for (const body of badPods) {
    const rest = await world.ask(path, { method: "POST", body });
    const told = {
      message: rest.json?.message,
      reason: rest.json?.reason,
      causes: causesOf(rest.json?.details?.causes),
    };
    assert.ok(rest.status >= 400 && rest.status < 500, `${JSON.stringify(body)} ${rest.text}`);
    const json = Buffer.from(JSON.stringify(body));
    const document = { ref: { resource: "pods" }, namespace, json };
    const byDynamic = await refusalOf(call(dynamic, "create", document, within));
    assert.deepEqual(byDynamic, told, `dynamic: ${JSON.stringify(body)}`);
    const object = body as Pod;
    const byTyped = await refusalOf(call(pods, "create", { object, namespace }, within));
    assert.deepEqual(byTyped, told, `typed: ${JSON.stringify(body)}`);
    const yaml = await world.ask(path, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/yaml" },
    });
    assert.equal(yaml.text, rest.text);
  }
});

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

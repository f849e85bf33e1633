import assert from "node:assert/strict";
import { test } from "node:test";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { StatusError } from "../../ha/runtime/status-error.ts";
import { decodeProtobuf } from "../../services/apiserver/faces/rest/protobuf/decode.ts";
import { restWorld } from "./harness.ts";

type Part = readonly [number: number, value: string | number | Uint8Array];

function message(...parts: readonly Part[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const [number, value] of parts) {
    if (typeof value === "number") writer.tag(number, WireType.Varint).int64(value);
    else if (typeof value === "string") writer.tag(number, WireType.LengthDelimited).string(value);
    else writer.tag(number, WireType.LengthDelimited).bytes(value);
  }
  return writer.finish();
}

function envelope(apiVersion: string, kind: string, raw: Uint8Array): Buffer {
  const meta = message([1, apiVersion], [2, kind]);
  return Buffer.concat([Buffer.from("k8s\0", "latin1"), message([1, meta], [2, raw])]);
}

const entry = (key: string, value: string) => message([1, key], [2, value]);

/** A Deployment as client-go writes it: every plain field is there, empty ones too. */
const metadata = message(
  [1, "web"],
  [2, ""],
  [3, ""],
  [5, ""],
  [7, 0],
  [8, message()],
  [11, entry("app", "web")],
);
const quantity = message([1, "100m"]);
const resources = message([2, message([1, "cpu"], [2, quantity])]);
const port = message([1, ""], [2, 0], [3, 80], [4, "TCP"]);
const probe = message(
  [1, message([2, message([1, "/"], [2, message([1, 1], [2, 0], [3, "http"])])])],
  [3, 5],
);
const container = message([1, "main"], [2, "nginx"], [6, port], [8, resources], [10, probe]);
const template = message([1, message([11, entry("app", "web")])], [2, message([2, container])]);
const spec = message([1, 2], [2, message([1, entry("app", "web")])], [3, template]);
const deployment = envelope(
  "apps/v1",
  "Deployment",
  message([1, metadata], [2, spec], [3, message([1, 0])]),
);

test("client-go's protobuf encoding becomes the JSON that it stands for", () => {
  assert.deepEqual(decodeProtobuf(deployment), {
    value: {
      kind: "Deployment",
      apiVersion: "apps/v1",
      metadata: { name: "web", labels: { app: "web" } },
      spec: {
        replicas: 2,
        selector: { matchLabels: { app: "web" } },
        template: {
          metadata: { labels: { app: "web" } },
          spec: {
            containers: [
              {
                name: "main",
                image: "nginx",
                ports: [{ containerPort: 80, protocol: "TCP" }],
                resources: { requests: { cpu: "100m" } },
                livenessProbe: { httpGet: { path: "/", port: "http" }, timeoutSeconds: 5 },
              },
            ],
          },
        },
      },
      status: {},
    },
    unknown: [],
  });
});

test("an object is created from protobuf, and what cannot be decoded is refused in words", async () => {
  await using world = await restWorld();
  const headers = { "content-type": "application/vnd.kubernetes.protobuf" };
  const path = "/apis/apps/v1/namespaces/default/deployments";
  const made = await world.ask(path, { method: "POST", headers, body: deployment });
  assert.equal(made.status, 201, made.text);
  assert.equal(made.json.spec.template.spec.containers[0].image, "nginx");
  const cut = await world.ask(path, { method: "POST", headers, body: deployment.subarray(0, 99) });
  assert.equal(cut.status, 400, cut.text);
  assert.match(cut.json.message, /cannot be decoded/);
  const foreign = envelope("example.com/v1", "Widget", message());
  const other = await world.ask(path, { method: "POST", headers, body: foreign });
  assert.equal(other.status, 415, other.text);
  const plain = await world.ask(path, { method: "POST", headers, body: "{}" });
  assert.equal(plain.status, 400);
  const unknown = envelope("apps/v1", "Deployment", message([1, metadata], [2, spec], [99, 1]));
  const strict = await world.ask(`${path}?fieldValidation=Strict`, {
    method: "POST",
    headers,
    body: unknown,
  });
  assert.equal(strict.status, 400);
  assert.match(strict.json.message, /number 99/);
});

test("a definition of custom resources, with all that its schema may be made of", async () => {
  const text = message([5, "string"]);
  const nested = message(
    [5, "object"],
    [8, message([1, '{"a":"b"}'])],
    [20, message([1, '"x"'])],
    [24, message([2, text])],
    [29, message([1, "a"], [2, text])],
    [30, message([1, 0], [2, text])],
    [31, message([1, "other"], [2, text])],
  );
  const root = message([5, "object"], [29, message([1, "spec"], [2, nested])]);
  const version = message(
    ...([
      [1, "v1"],
      [2, 1],
      [3, 1],
      [4, message([1, root])],
    ] as const),
    [5, message([1, message()])],
  );
  const names = message([1, "oars"], [2, "oar"], [4, "Oar"], [5, "OarList"]);
  const definition = message(
    [1, message([1, "oars.boats.test"])],
    [2, message([1, "boats.test"], [3, names], [4, "Namespaced"], [7, version])],
  );
  const type = "apiextensions.k8s.io/v1";
  const body = envelope(type, "CustomResourceDefinition", definition);
  const { value } = decodeProtobuf(body) ?? {};
  const { spec: told } = value as {
    spec: { versions: { schema: object; subresources: object }[] };
  };
  assert.deepEqual(told.versions[0]?.subresources, { status: {} });
  assert.deepEqual(told.versions[0]?.schema, {
    openAPIV3Schema: {
      type: "object",
      properties: {
        spec: {
          type: "object",
          default: { a: "b" },
          enum: ["x"],
          items: [{ type: "string" }],
          properties: { a: { type: "string" } },
          additionalProperties: { type: "string" },
          patternProperties: { other: { type: "string" } },
        },
      },
    },
  });
});

test("a definition that client-go writes is established", async () => {
  await using world = await restWorld();
  const schema = message([5, "object"], [29, message([1, "spec"], [2, message([5, "string"])])]);
  const version = message([1, "v1"], [2, 1], [3, 1], [4, message([1, schema])]);
  const names = message([1, "oars"], [2, "oar"], [4, "Oar"], [5, "OarList"]);
  const definition = message(
    [1, message([1, "oars.boats.test"])],
    [2, message([1, "boats.test"], [3, names], [4, "Namespaced"], [7, version])],
  );
  const body = envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", definition);
  const headers = { "content-type": "application/vnd.kubernetes.protobuf" };
  const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  const made = await world.ask(path, { method: "POST", headers, body });
  assert.equal(made.status, 201, made.text);
  assert.equal((await world.ask("/apis/boats.test/v1/oars")).status, 200);
});

test("options of a deletion come under the version of every group", async () => {
  await using world = await restWorld();
  const headers = { "content-type": "application/vnd.kubernetes.protobuf" };
  const path = "/apis/apps/v1/namespaces/default/deployments";
  await world.ask(path, { method: "POST", headers, body: deployment });
  const preconditions = message([1, "another"]);
  const body = envelope("apps/v1", "DeleteOptions", message([1, 0], [2, preconditions]));
  const refused = await world.ask(`${path}/web`, { method: "DELETE", headers, body });
  assert.equal(refused.status, 409, refused.text);
  assert.match(refused.json.message, /the UID in the precondition \(another\)/);
  const foreground = envelope("apps/v1", "DeleteOptions", message([4, "Foreground"]));
  const begun = await world.ask(`${path}/web`, { method: "DELETE", headers, body: foreground });
  assert.equal(begun.status, 200, begun.text);
  assert.deepEqual(begun.json.metadata.finalizers, ["foregroundDeletion"]);
});

test("whatever bytes come, the decoder answers or refuses", () => {
  const bytes = fc.uint8Array({ maxLength: 200 });
  fc.assert(
    fc.property(bytes, fc.nat(deployment.length), (noise, at) => {
      const mixed = Buffer.concat([deployment.subarray(0, at), noise]);
      for (const body of [noise, mixed, envelope("v1", "Pod", noise)]) {
        try {
          decodeProtobuf(body);
        } catch (thrown) {
          assert.ok(thrown instanceof StatusError, String(thrown));
        }
      }
    }),
    { numRuns: 2_000 },
  );
});

/** The description of the API, held to the API itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { OpenApi } from "../../services/apiserver/openapi/mod.ts";
import { defineResource } from "../../services/kinds/machinery/define.ts";
import { builtInRegistry } from "../../services/kinds/mod.ts";

type Json = Readonly<Record<string, unknown>>;

function parsed(bytes: Buffer | undefined): Json {
  assert.ok(bytes);
  return JSON.parse(bytes.toString()) as Json;
}

function at(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>((part, name) => (part as Json | undefined)?.[name], value);
}

/** Every object in a document, however deep. */
function* objectsIn(value: unknown): Generator<Json> {
  if (typeof value !== "object" || value === null) return;
  if (!Array.isArray(value)) yield value as Json;
  for (const part of Object.values(value)) yield* objectsIn(part);
}

const registry = builtInRegistry();
const api = new OpenApi(registry);
const pathsOfIndex = Object.keys(parsed(api.index().bytes)["paths"] as Json);

test("the index names a document for every group and version, by its content", () => {
  const wanted = new Set(
    [...registry].map(({ group, version }) =>
      group === "" ? `api/${version}` : `apis/${group}/${version}`,
    ),
  );
  assert.deepEqual(new Set(pathsOfIndex), wanted);
  for (const path of pathsOfIndex) {
    const url = at(parsed(api.index().bytes), "paths", path, "serverRelativeURL");
    assert.equal(url, `/openapi/v3/${path}?hash=${api.document(path)?.hash}`);
  }
});

test("no reference leads nowhere, and every schema of a kind says which it is", () => {
  for (const path of pathsOfIndex) {
    const document = parsed(api.document(path)?.bytes);
    const schemas = at(document, "components", "schemas") as Json;
    for (const { $ref: reference } of objectsIn(document)) {
      if (typeof reference !== "string") continue;
      assert.ok(reference.replace("#/components/schemas/", "") in schemas, reference);
    }
  }
  const deployment = at(
    parsed(api.document("apis/apps/v1")?.bytes),
    ...["components", "schemas", "io.k8s.api.apps.v1.Deployment"],
  );
  assert.deepEqual(at(deployment, "x-kubernetes-group-version-kind"), [
    { group: "apps", kind: "Deployment", version: "v1" },
  ]);
});

test("kubectl finds that writes take fieldValidation and dryRun", () => {
  for (const resource of registry) {
    if (!resource.verbs.includes("patch")) continue;
    const { group, version, kind, plural, namespaced } = resource;
    const root = group === "" ? `api/${version}` : `apis/${group}/${version}`;
    const item = `/${root}/${namespaced ? "namespaces/{namespace}/" : ""}${plural}/{name}`;
    const patch = at(parsed(api.document(root)?.bytes), "paths", item, "patch");
    const names = (at(patch, "parameters") as Json[]).map(({ name }) => name);
    assert.ok(names.includes("fieldValidation") && names.includes("dryRun"), item);
    const expected = { group, kind, version };
    assert.deepEqual(at(patch, "x-kubernetes-group-version-kind"), expected, item);
  }
});

test("fields have their types, their words and their rules of merging", () => {
  const schemas = at(parsed(api.document("api/v1")?.bytes), "components", "schemas");
  const container = at(schemas, "io.k8s.api.core.v1.Container", "properties");
  assert.equal(at(container, "ports", "x-kubernetes-patch-merge-key"), "containerPort");
  assert.equal(at(container, "ports", "x-kubernetes-patch-strategy"), "merge");
  assert.equal(at(container, "command", "items", "type"), "string");
  assert.match(String(at(container, "command", "description")), /entrypoint/);
  const probe = at(schemas, "io.k8s.api.core.v1.HTTPGetAction", "properties", "port");
  assert.equal(at(probe, "format"), "int-or-string");
  const meta = at(schemas, "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "properties");
  assert.equal(at(meta, "creationTimestamp", "format"), "date-time");
  assert.equal(at(meta, "labels", "additionalProperties", "type"), "string");
});

test("a resource that comes at run time is described at once, and gone when it goes", () => {
  const oars = defineResource({
    group: "fleet.example.com",
    version: "v1",
    kind: "Oar",
    plural: "oars",
    schema: {
      ...defineResource({ group: "", version: "v1", kind: "X", plural: "x" }).schema,
      openApi: { type: "object", properties: { spec: { type: "object", description: "What." } } },
    },
  });
  const own = builtInRegistry();
  const described = new OpenApi(own);
  assert.equal(described.document("apis/fleet.example.com/v1"), undefined);
  const before = described.swagger().hash;
  own.add(oars);
  const schemas = at(
    parsed(described.document("apis/fleet.example.com/v1")?.bytes),
    ...["components", "schemas"],
  );
  const spec = at(schemas, "com.example.fleet.v1.Oar", "properties", "spec", "description");
  assert.equal(spec, "What.");
  assert.ok(at(schemas, "com.example.fleet.v1.OarList"));
  assert.notEqual(described.swagger().hash, before);
  own.remove(oars);
  assert.equal(described.document("apis/fleet.example.com/v1"), undefined);
  assert.equal(described.swagger().hash, before);
});

test("the older form has the same definitions, with references that stand alone", () => {
  const swagger = parsed(api.swagger().bytes);
  const definitions = swagger["definitions"] as Json;
  for (const { $ref: reference, oneOf, allOf } of objectsIn(swagger)) {
    assert.equal(oneOf ?? allOf, undefined);
    if (typeof reference !== "string") continue;
    assert.ok(reference.replace("#/definitions/", "") in definitions, reference);
  }
});

test("the protobuf form names every definition and every path", () => {
  const swagger = parsed(api.swagger().bytes);
  const reader = new BinaryReader(api.swaggerMessage().bytes);
  const found = new Map<number, Set<string>>([
    [8, new Set()],
    [9, new Set()],
  ]);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const names = found.get(tag >>> 3);
    if (names === undefined) {
      reader.skip(tag & 7, tag >>> 3);
      continue;
    }
    const end = reader.uint32() + reader.pos;
    while (reader.pos < end) {
      reader.uint32();
      const entryEnd = reader.uint32() + reader.pos;
      assert.equal(reader.uint32() >>> 3, 1);
      names.add(reader.string());
      reader.pos = entryEnd;
    }
  }
  assert.deepEqual(found.get(8), new Set(Object.keys(swagger["paths"] as Json)));
  assert.deepEqual(found.get(9), new Set(Object.keys(swagger["definitions"] as Json)));
});

test("every schema and every field of it says what it is", () => {
  const silent = new Set<string>();
  for (const path of pathsOfIndex) {
    const schemas = at(parsed(api.document(path)?.bytes), "components", "schemas") as Json;
    for (const [name, schema] of Object.entries(schemas)) {
      if (!at(schema, "description")) silent.add(name);
      for (const [field, property] of Object.entries(at(schema, "properties") ?? {})) {
        if (!at(property, "description")) silent.add(`${name}.${field}`);
      }
    }
  }
  assert.deepEqual([...silent], []);
});

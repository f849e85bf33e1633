/** Large definitions: a generated one, and those of a public chart where they are at hand. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import type { CustomResourceDefinition } from "../../proto/gen/apiextensions.ts";
import { jsonBody } from "../../services/apiserver/verbs/body.ts";
import { type Backend, create } from "../../services/apiserver/verbs/mod.ts";
import {
  builtInRegistry,
  type Document,
  parseYaml,
  type Resource,
} from "../../services/kinds/mod.ts";
import { eventually } from "../patience.ts";
import { adminCall, fails, world } from "./harness.ts";

type Loose = Record<string, unknown>;

async function established(backend: Backend, document: Document): Promise<Resource> {
  const definitions = backend.registry.required(
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
  );
  const body = jsonBody(definitions, Buffer.from(JSON.stringify(document)));
  await create(backend, adminCall(), definitions, { body });
  const { spec } = document as CustomResourceDefinition;
  const apiVersion = `${spec?.group}/${spec?.versions?.[0]?.name}`;
  const find = () => backend.registry.byPlural(apiVersion, spec?.names?.plural ?? "");
  await eventually(`${document.metadata?.name} is served`, () => find() !== undefined);
  return find() as Resource;
}

function send(backend: Backend, resource: Resource, spec: Loose) {
  const { group, version, kind } = resource;
  const metadata = { name: "a", namespace: "default" };
  const document = { apiVersion: `${group}/${version}`, kind, metadata, spec };
  const body = jsonBody(resource, Buffer.from(JSON.stringify(document)));
  return create(backend, adminCall(), resource, { body, namespace: "default" });
}

/** 31 objects of 32 fields each, every field with a description: more than 200 KB. */
function largeSchema(): Loose {
  const field = (index: number): Loose => ({
    type: "string",
    description: "What a field is for, in as many words as people write. ".repeat(4),
    maxLength: 63,
    ...(index === 0 && { default: "x" }),
    ...(index === 1 && { pattern: "^[a-z]+$" }),
  });
  const part = (): Loose => ({
    type: "object",
    properties: Object.fromEntries(
      Array.from({ length: 32 }, (_, index) => [`f${index}`, field(index)]),
    ),
    "x-kubernetes-validations": [{ rule: "!has(self.f2) || self.f2 != self.f0", message: "alike" }],
  });
  const parts = Object.fromEntries(Array.from({ length: 31 }, (_, index) => [`p${index}`, part()]));
  return { type: "object", properties: { spec: { type: "object", properties: parts } } };
}

test("a definition of a thousand fields is served, and holds its objects to each", async () => {
  await using w = await world({ registry: builtInRegistry() });
  const { backend } = w;
  const schema = largeSchema();
  assert.ok(JSON.stringify(schema).length > 200_000);
  const resource = await established(backend, {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "fleets.fleet.example.com" },
    spec: {
      group: "fleet.example.com",
      scope: "Namespaced",
      names: { plural: "fleets", kind: "Fleet" },
      versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: schema } }],
    },
  });
  const spec = Object.fromEntries(Array.from({ length: 31 }, (_, index) => [`p${index}`, {}]));
  const made = await send(backend, resource, spec);
  const shown = made.document["spec"] as Record<string, Loose>;
  assert.ok(Object.values(shown).every(({ f0 }) => f0 === "x"));
  await fails(
    send(backend, resource, { ...spec, p30: { f1: "UPPER", f2: "x" } }),
    "invalidArgument",
    /spec\.p30\.f1: Invalid value: "UPPER": .* should match.*spec\.p30: Invalid value: "object": alike/,
  );
});

/** `shared/data/crds` beside the checkout, or beside one of the folders above it. */
function publicDefinitions(): string | undefined {
  let folder = import.meta.dirname;
  for (;;) {
    const found = join(folder, "shared/data/crds");
    if (existsSync(found)) return found;
    const above = dirname(folder);
    if (above === folder) return undefined;
    folder = above;
  }
}

const folder = publicDefinitions();

test("public definitions are established, and their objects created", {
  skip: folder === undefined && "the definitions are not at hand",
}, async () => {
  await using w = await world({ registry: builtInRegistry() });
  const { backend } = w;
  const specs: Record<string, Loose> = {
    MysqlBackup: { clusterName: "c" },
    MysqlCluster: { secretName: "s", replicas: 2 },
    MysqlDatabase: { clusterRef: { name: "c" }, database: "d" },
    MysqlUser: {
      clusterRef: { name: "c" },
      user: "u",
      allowedHosts: ["%"],
      password: { name: "p", key: "k" },
    },
  };
  for (const file of readdirSync(folder ?? "").filter((name) => name.endsWith(".yaml"))) {
    const [document] = parseYaml(readFileSync(join(folder ?? "", file), "utf8"));
    const resource = await established(backend, document as Document);
    const spec = specs[resource.kind];
    assert.ok(spec, resource.kind);
    const made = await send(backend, resource, spec);
    assert.equal(made.document.kind, resource.kind);
    const cells = resource.columns.map(({ value }) => value(made.document, Date.now()));
    assert.equal(cells[0], "a");
    await fails(
      send(backend, resource, { ...spec, nope: 1 }),
      "invalidArgument",
      /unknown field "spec\.nope"/,
    );
  }
});

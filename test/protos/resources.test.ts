/** What follows from the `resource` option of a kind's message. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigMap, ConfigMapsService, PodsService } from "../../proto/gen/core.ts";
import { kindCode } from "../../proto/gen/resources.ts";
import { messages, resources, services } from "../../proto/gen/schema.ts";
import { completed } from "../../proto/generate/complete.mjs";
import { resourcesOf } from "../../proto/generate/resources.mjs";
import { builtInRegistry } from "../../services/kinds/mod.ts";

test("every message with the option has a row, and every kind agrees with its row", () => {
  const marked = Object.keys(messages).filter((name) => messages[name]?.resource !== undefined);
  assert.deepEqual(Object.keys(resources).sort(), marked.sort());
  for (const resource of builtInRegistry()) {
    const { message = "" } = resource.schema;
    const row = resources[message];
    assert.ok(row, message);
    for (const field of ["group", "version", "kind", "plural", "singular", "namespaced"] as const) {
      assert.equal(resource[field], row[field], `${message} ${field}`);
    }
    assert.equal(resource.subresources.status, row.hasStatus, `${message} hasStatus`);
    assert.equal(resource.subresources.scale !== undefined, row.scale, `${message} scale`);
    assert.deepEqual(resource.verbs, row.verbs, message);
    assert.deepEqual(Object.keys(resource.service ?? {}), row.methods, message);
  }
});

test("the names of a row exist", () => {
  for (const { message, service, list, write, event, verbs, methods } of Object.values(resources)) {
    assert.ok(messages[message], message);
    const follow = { list, watch: event, create: write } as const;
    for (const [verb, name] of Object.entries(follow)) {
      const wanted = verbs.some((each) => each === verb);
      assert.equal(messages[name ?? ""] !== undefined, wanted, `${message} ${verb}`);
    }
    const generated = Object.keys(services[service]?.methods ?? {});
    assert.deepEqual(
      methods,
      generated.map((name) => name.charAt(0).toLowerCase() + name.slice(1)),
    );
  }
});

test("codec and service of a kind are found by its name", () => {
  const { schema, codec, service } = kindCode.ConfigMap;
  assert.equal(schema.property, "configMaps");
  assert.equal(codec, ConfigMap);
  assert.equal(service, ConfigMapsService);
  assert.equal(kindCode.Pod.service.bind, PodsService.bind);
  assert.equal(kindCode.Endpoints.schema.service, "trireme.core.v1.EndpointsCollection");
});

/** A message with the option, as the descriptors show it. */
function marked(resource: object, packageName = "trireme.fleet.v1", file = "fleet.proto") {
  const { kind } = { kind: "Oar", ...resource };
  return {
    kind: "message",
    name: "Oar",
    typeName: `${packageName}.${kind}`,
    file: { proto: { name: file, package: packageName } },
    resource: {
      group: "fleet",
      version: "v1",
      kind: "Oar",
      plural: "oars",
      verbs: [],
      methods: [],
      ...resource,
    },
  };
}

function rows(types: readonly ReturnType<typeof marked>[], taken: readonly string[] = []) {
  const all = Object.assign([...types], { get: (name: string) => taken.find((t) => t === name) });
  const option = (type: { resource: object }) => type.resource;
  return resourcesOf({ types: all, option });
}

test("verbs, scope and further methods shape the service", () => {
  const [row] = rows([
    marked({
      verbs: ["create", "get"],
      scope: "Cluster",
      scale: true,
      methods: [{ rpc: "Pull(Oar) returns (stream Oar)", comment: "Hard." }],
    }),
  ]);
  assert.ok(row);
  assert.equal(row.namespaced, false);
  assert.deepEqual(row.verbs, ["get", "create"]);
  const text = completed("fleet.proto", "package trireme.fleet.v1;\n\nmessage Oar {}\n", [row]);
  assert.equal(
    text,
    `package trireme.fleet.v1;

import "meta.proto";
import "autoscaling.proto";

message Oar {}

// ---- generated from the resource options above ------------------------------------------------

// What creates or updates an object of kind Oar.
message OarWrite {
  optional Oar object = 1;
  optional string namespace = 2; // unused: the kind is cluster-scoped
  optional trireme.meta.v1.WriteOptions options = 3;
}

// Objects of kind Oar.
service Oars {
  rpc Get(trireme.meta.v1.GetRequest) returns (Oar);
  rpc Create(OarWrite) returns (Oar);
  rpc GetScale(trireme.meta.v1.GetRequest) returns (trireme.autoscaling.v1.Scale);
  rpc UpdateScale(trireme.autoscaling.v1.ScaleWrite) returns (trireme.autoscaling.v1.Scale);
  // Hard.
  rpc Pull(Oar) returns (stream Oar);
}
`,
  );
});

test("a fault of the option is told with the message's name", () => {
  const fault = (resource: object, pattern: RegExp) =>
    assert.throws(() => rows([marked(resource)]), pattern);
  fault({ plural: "" }, /^Error: trireme\.fleet\.v1\.Oar: option resource: plural is required$/);
  fault({ kind: "Rudder" }, /kind "Rudder" is not the name of the message$/);
  fault({ scope: "World" }, /scope "World" is neither Namespaced nor Cluster$/);
  fault({ verbs: ["sink"] }, /no verb is called "sink"$/);
  fault({ methods: [{ rpc: "Pull Oar" }] }, /rpc "Pull Oar" has not the form "Name\(Request\)/);
  assert.throws(() => rows([marked({})], ["trireme.fleet.v1.Oars"]), /Oars is taken: give the/);
  assert.throws(
    () => rows([marked({}), marked({}, "trireme.fleet.v2")]),
    /trireme\.fleet\.v1\.Oar and trireme\.fleet\.v2\.Oar are both fleet\/v1\/oars$/,
  );
});

test("kinds of one name are told apart by their group, and by the older version", () => {
  const types = [
    marked({ group: "navy" }, "trireme.navy.v1"),
    marked({ group: "" }),
    marked({ group: "fleet" }, "trireme.fleet.v1beta1"),
    marked({ group: "fleet", version: "v2" }, "trireme.fleet.v2"),
  ];
  const names = rows(types).map(({ name, property }) => [name, property]);
  assert.deepEqual(names, [
    ["Oar.navy", "oars.navy"],
    ["Oar", "oars"],
    ["Oar.v1.fleet", "oars.v1.fleet"],
    ["Oar.fleet", "oars.fleet"],
  ]);
});

/** A kind that is added by its message alone: everything generated follows. */
import assert from "node:assert/strict";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import type { ServiceDefinition } from "@grpc/grpc-js";
import type { ResourceSchema } from "../../proto/gen/schema.ts";
import { generateAll } from "../../proto/generate/all.mjs";
import { contractsOf } from "./released.ts";

const root = dirname(dirname(import.meta.dirname));
const proto = join(root, "proto");
const folder = mkdtempSync(join(tmpdir(), "trireme-new-kind-"));
const out = join(folder, "gen");

const contract = `// fleet.example.com/v1: ships.
syntax = "proto3";

package trireme.fleet.v1;

import "meta.proto";

message Galley {
  option (trireme.meta.v1.resource) = {
    group: "fleet.example.com"
    version: "v1"
    kind: "Galley"
    plural: "galleys"
    scope: "Cluster"
    hasStatus: true
    scale: true
  };
  optional string apiVersion = 1;
  optional string kind = 2;
  optional trireme.meta.v1.ObjectMeta metadata = 3;
  optional GalleySpec spec = 4;
}

message GalleySpec {
  optional int32 oars = 1;
}
`;

interface Codec {
  encode(message: object): { finish(): Uint8Array };
  decode(bytes: Uint8Array): unknown;
}

const load = async (name: string) =>
  (await import(pathToFileURL(join(out, name)).href)) as Record<string, unknown>;

before(async () => {
  // The generated modules import packages, which are found from where they lie.
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, "package.json"), '{"type": "module"}');
  const source = join(folder, "proto");
  mkdirSync(join(source, "tree"), { recursive: true });
  for (const from of [proto, join(proto, "tree")]) {
    for (const entry of readdirSync(from, { withFileTypes: true })) {
      if (entry.isFile()) {
        copyFileSync(join(from, entry.name), join(source, from.slice(proto.length), entry.name));
      }
    }
  }
  writeFileSync(join(source, "fleet.proto"), contract);
  const contracts = readdirSync(source).filter((name) => name.endsWith(".proto"));
  mkdirSync(out);
  await generateAll(source, contracts, out);
});
after(() => rmSync(folder, { recursive: true, force: true }));

test("its messages and its service are there", async () => {
  const fleet = await load("fleet.ts");
  const service = fleet["GalleysService"] as ServiceDefinition;
  assert.deepEqual(
    Object.values(service).map(({ path }) => path.replace("/trireme.fleet.v1.Galleys/", "")),
    [
      ...["Get", "List", "Watch", "Create", "Update", "UpdateStatus", "Patch", "Delete"],
      ...["DeleteCollection", "GetScale", "UpdateScale"],
    ],
  );
  const list = { kind: "GalleyList", items: [{ spec: { oars: 170 } }] };
  const codec = fleet["GalleyList"] as Codec;
  assert.deepEqual(codec.decode(codec.encode(list).finish()), list);
  for (const name of ["GalleyWrite", "GalleyEvent", "GalleysClient"]) assert.ok(fleet[name], name);
});

test("its rows are there", async () => {
  const { resources } = (await load("schema.ts")) as { resources: Record<string, ResourceSchema> };
  const { verbs, methods, ...row } = resources["trireme.fleet.v1.Galley"] as ResourceSchema;
  assert.equal(verbs.length, 8);
  assert.equal(methods.length, 11);
  assert.deepEqual(row, {
    group: "fleet.example.com",
    version: "v1",
    kind: "Galley",
    plural: "galleys",
    singular: "galley",
    namespaced: false,
    hasStatus: true,
    scale: true,
    message: "trireme.fleet.v1.Galley",
    service: "trireme.fleet.v1.Galleys",
    list: "trireme.fleet.v1.GalleyList",
    write: "trireme.fleet.v1.GalleyWrite",
    event: "trireme.fleet.v1.GalleyEvent",
    name: "Galley",
    property: "galleys",
  });
  const { kindCode } = (await load("resources.ts")) as {
    kindCode: Record<string, { schema: ResourceSchema; service: unknown }>;
  };
  assert.equal(kindCode["Galley"]?.service, (await load("fleet.ts"))["GalleysService"]);
});

test("reflection and the tree for other languages know it", () => {
  const described = contractsOf(readFileSync(join(out, "descriptors.binpb")));
  assert.ok(described.get("service trireme.fleet.v1.Galleys"));
  const text = readFileSync(join(out, "tree/trireme/fleet/v1/fleet.proto"), "utf8");
  assert.match(text, /^import "trireme\/autoscaling\/v1\/autoscaling\.proto";$/m);
  assert.match(text, /^service Galleys \{$/m);
});

/** What is refused, and how: in upstream's order, with its codes and words. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  bidiStream,
  call,
  clientStream,
  connect,
  createRpcServer,
  serverStream,
  serverStreamIterable,
  unary,
} from "../../ha/rpc/mod.ts";
import type { CallContext } from "../../ha/rpc/types.ts";
import { type Authenticator, NotSeenYet } from "../../services/apiserver/auth/authenticate.ts";
import { callOf } from "../../services/apiserver/faces/grpc/call.ts";
import { userOf } from "../../services/apiserver/faces/rest/handle.ts";
import type { KeyPair } from "../../services/apiserver/pki/mod.ts";
import { quietLog } from "../apiserver/harness.ts";
import { EchoClient, EchoService } from "../rpc/echo.ts";
import { type RestWorld, restWorld } from "./harness.ts";

let world: RestWorld;
let joe: KeyPair;

before(async () => {
  world = await restWorld();
  joe = await world.user("joe");
});
after(() => world[Symbol.asyncDispose]());

const configMaps = "/api/v1/namespaces/default/configmaps";
const deployments = "/apis/apps/v1/namespaces/default/deployments";
const merge = { "content-type": "application/merge-patch+json" };
const strategic = { "content-type": "application/strategic-merge-patch+json" };
const jsonPatch = { "content-type": "application/json-patch+json" };
const yaml = { "content-type": "application/yaml" };

const deployment = (name: string, container: object = {}) => ({
  metadata: { name },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: "web", image: "nginx", ...container }] },
    },
  },
});

test("who may not is told so before there is word of what exists", async () => {
  const paths: [string, string, RegExp][] = [
    ["GET", "/api/v1/unicorns", /^unicorns is forbidden: User "joe" cannot list/],
    [
      "GET",
      "/apis/no.such/v1/things/a",
      /things\.no\.such "a" is forbidden: User "joe" cannot get/,
    ],
    ["GET", `${configMaps}/a/nothing`, /cannot get resource "configmaps\/nothing"/],
    ["PUT", "/api/v1/namespaces/default/pods/a/log", /cannot update resource "pods\/log"/],
  ];
  for (const [method, path, message] of paths) {
    const refused = await world.ask(path, { method, as: joe });
    assert.equal(refused.status, 403, path);
    assert.match(refused.json.message, message);
    const allowed = await world.ask(path, { method });
    assert.ok([404, 405].includes(allowed.status), path);
  }
  const nobody = await world.ask("/apis/no.such/v1/things", { as: null });
  assert.equal(nobody.status, 403);
});

test("a wrong token is told nothing but that", async () => {
  const headers = { authorization: "Bearer nonsense" };
  const { status, json } = await world.ask("/api", { as: null, headers });
  assert.equal(status, 401);
  assert.equal(json.message, "Unauthorized");
});

test("a token that is newer than the cache waits for it, once", async () => {
  let asked = 0;
  let waited = 0;
  const behind: Authenticator = {
    name: "behind",
    authenticate() {
      asked += 1;
      if (waited === 0) throw new NotSeenYet("the account is gone");
      return { name: "robot", groups: [] };
    },
  };
  const cache = {
    async waitFor() {
      waited += 1;
    },
  };
  const store = { readRevision: async () => 7 };
  const face = { authenticators: [behind], backend: { cache, store, log: quietLog } as never };
  const peer = { certificate: undefined, refusal: undefined };
  const request = { peer, headers: () => [], namesWith: () => [] };
  assert.equal((await userOf(face, request)).name, "robot");
  assert.deepEqual([asked, waited], [2, 1]);
  const never: Authenticator = {
    name: "never",
    authenticate() {
      throw new NotSeenYet("the account is gone");
    },
  };
  await assert.rejects(
    userOf({ ...face, authenticators: [never] }, request),
    /^StatusError: Unauthorized$/,
  );
});

async function first<T>(all: AsyncIterable<T>): Promise<T> {
  for await (const one of all) return one;
  throw new Error("nothing came");
}

test("over gRPC it waits as well, in calls and in streams, and is told once why not", async () => {
  let behind = true;
  let waited = 0;
  let known = true;
  const late: Authenticator = {
    name: "late",
    authenticate() {
      if (behind || !known) throw new NotSeenYet("the account is gone");
      return { name: "robot", groups: [] };
    },
  };
  const cache = {
    async waitFor() {
      waited += 1;
      behind = false;
    },
  };
  const store = { readRevision: async () => 7 };
  const backend = { audit: undefined, cache, store, log: quietLog } as never;
  const userOf = (context: CallContext) =>
    Buffer.from(callOf(context, { authenticators: [late], backend }).user.name);
  const server = createRpcServer({ log: quietLog });
  const stream = (context: CallContext) => {
    const user = userOf(context);
    return (async function* () {
      yield user;
    })();
  };
  server.addService(EchoService, {
    say: unary<Buffer, Buffer>(async (_, context) => userOf(context)),
    collect: clientStream<Buffer, Buffer>(async (_, context) => userOf(context)),
    repeat: serverStream<Buffer, Buffer>((_, context) => stream(context)),
    chat: bidiStream<Buffer, Buffer>((_, context) => stream(context)),
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const client = connect(EchoClient, { addresses: [`127.0.0.1:${port}`] });
  const asked: Record<string, () => Promise<unknown>> = {
    say: () => call(client, "say", Buffer.alloc(1)),
    repeat: () => first(serverStreamIterable(client, "repeat", Buffer.alloc(1))),
  };
  for (const ask of Object.values(asked)) {
    behind = true;
    waited = 0;
    assert.equal(String(await ask()), "robot");
    assert.equal(waited, 1);
    known = false;
    await assert.rejects(ask(), /the account is gone/);
    known = true;
  }
  client.close();
  await server.close();
});

test("a field given twice is an error, a warning or nothing, as the caller chose", async () => {
  const body = '{"metadata":{"name":"twice"},"data":{"a":"1","a":"2"}}';
  const url = `${configMaps}?dryRun=All&fieldValidation=`;
  const strict = await world.ask(`${url}Strict`, { method: "POST", body });
  assert.equal(strict.status, 400);
  assert.match(strict.json.message, /strict decoding error: duplicate field "data.a"$/);
  const warned = await world.ask(`${url}Warn`, { method: "POST", body });
  assert.equal(warned.json.data.a, "2");
  assert.equal(warned.headers["warning"], '299 - "duplicate field \\"data.a\\""');
  const ignored = await world.ask(`${url}Ignore`, { method: "POST", body });
  assert.equal(ignored.json.data.a, "2");
  assert.equal(ignored.headers["warning"], undefined);
  const text = "metadata: {name: twice}\ndata:\n  a: '1'\n  a: '2'\n";
  const refused = await world.ask(`${url}Strict`, { method: "POST", headers: yaml, body: text });
  assert.match(
    refused.json.message,
    /strict decoding error: yaml: unmarshal errors:\n {2}line 4: key "a" already set in map$/,
  );
  const kept = await world.ask(`${url}Ignore`, { method: "POST", headers: yaml, body: text });
  assert.equal(kept.json.data.a, "2");
});

test("patches that do not fit are refused in upstream's words", async () => {
  await world.ask(deployments, { method: "POST", body: deployment("patched") });
  const ask = (headers: Record<string, string>, body: unknown, query = "") =>
    world.ask(`${deployments}/patched${query}`, { method: "PATCH", headers, body });
  const tested = await ask(jsonPatch, [{ op: "test", path: "/spec/replicas", value: 9 }]);
  assert.deepEqual([tested.status, tested.json.message], [422, rejected]);
  const missing = await ask(jsonPatch, [{ op: "remove", path: "/spec/none" }]);
  assert.deepEqual([missing.status, missing.json.message], [422, rejected]);
  const strict = await ask(strategic, { spec: { foo: 1 } }, "?fieldValidation=Strict");
  assert.deepEqual(
    [strict.status, strict.json.message],
    [
      422,
      ' "" is invalid: patch: Invalid value: "map[spec:map[foo:1]]": ' +
        'strict decoding error: unknown field "spec.foo"',
    ],
  );
  const warned = await ask(merge, { spec: { foo: 1 } });
  assert.equal(warned.headers["warning"], '299 - "unknown field \\"spec.foo\\""');
  const wrong = await ask(strategic, { spec: { replicas: "x" } });
  assert.equal(wrong.status, 422);
  assert.match(wrong.json.message, /^ "" is invalid: patch: Invalid value: "map\[spec:map\[/);
});

const rejected = "the server rejected our request due to an error in our request";

test("what is no quantity cannot be decoded", async () => {
  const body = deployment("odd", { resources: { limits: { cpu: "lots" } } });
  const { status, json } = await world.ask(deployments, { method: "POST", body });
  assert.equal(status, 400);
  assert.equal(
    json.message,
    'Deployment in version "v1" cannot be handled as a Deployment: quantities must match the ' +
      "regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
  );
});

test("empty lists are as good as none", async () => {
  const body = deployment("empty", { args: [], env: [], ports: [] });
  const { json } = await world.ask(deployments, { method: "POST", body });
  const [container] = json.spec.template.spec.containers;
  assert.deepEqual(
    [container.args, container.env, container.ports],
    [undefined, undefined, undefined],
  );
});

test("an object of a custom resource says what it is", async () => {
  const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  const names = { plural: "oars", singular: "oar", kind: "Oar", listKind: "OarList" };
  const schema = { openAPIV3Schema: { type: "object" } };
  const versions = [{ name: "v1", served: true, storage: true, schema }];
  const spec = { group: "boats.test", scope: "Namespaced", names, versions };
  const body = { metadata: { name: "oars.boats.test" }, spec };
  assert.equal((await world.ask(definitions, { method: "POST", body })).status, 201);
  const oars = "/apis/boats.test/v1/namespaces/default/oars";
  const send = (object: object) => world.ask(oars, { method: "POST", body: object });
  const metadata = { name: "a" };
  const untyped = await send({ metadata });
  assert.equal(untyped.status, 400);
  assert.equal(
    untyped.json.message,
    'Oar in version "v1" cannot be handled as a Oar: ' +
      `Object 'Kind' is missing in '{"metadata":{"name":"a"}}'`,
  );
  const unversioned = await send({ kind: "Oar", metadata });
  assert.equal(
    unversioned.json.message,
    "the API version in the data () does not match the expected API version (boats.test/v1)",
  );
  assert.equal((await send({ kind: "Oar", apiVersion: "boats.test/v1", metadata })).status, 201);
});

test("the update that takes the last finalizer away is the answer", async () => {
  const body = { metadata: { name: "held", finalizers: ["a.test/hold"] } };
  await world.ask(configMaps, { method: "POST", body });
  await world.ask(`${configMaps}/held`, { method: "DELETE" });
  const patch = { metadata: { finalizers: null, labels: { last: "word" } } };
  const path = `${configMaps}/held`;
  const headers = { ...merge, "trireme-request-id": "the-last-word" };
  const first = await world.ask(path, { method: "PATCH", headers, body: patch });
  const { json } = first;
  assert.equal(json.metadata.finalizers, undefined);
  const again = await world.ask(path, { method: "PATCH", headers, body: patch });
  // When the fields were written is stored nowhere, as the object is not.
  const timeless = ({ text }: { text: string }) => text.replaceAll(/"time":"[^"]+"/g, "");
  assert.equal(timeless(again), timeless(first));
  assert.deepEqual(json.metadata.labels, { last: "word" });
  assert.equal((await world.ask(path)).status, 404);
});

test("a Scale is shown as a table, and conflicts name its version", async () => {
  await world.ask(deployments, { method: "POST", body: deployment("scaled") });
  const scale = `${deployments}/scaled/scale`;
  const accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
  const { json } = await world.ask(scale, { headers: { accept } });
  const names = json.columnDefinitions.map(({ name }: { name: string }) => name);
  assert.deepEqual(names, ["Name", "Desired", "Available", "Age"]);
  assert.deepEqual(json.rows[0].cells.slice(0, 3), ["scaled", 1, 0]);
  const headers = { "content-type": "application/apply-patch+yaml" };
  const body = { apiVersion: "autoscaling/v1", kind: "Scale", spec: { replicas: 5 } };
  const applied = await world.ask(`${scale}?fieldManager=me`, { method: "PATCH", headers, body });
  assert.equal(applied.status, 409);
  assert.match(
    applied.json.message,
    /conflict with "[^"]*" using autoscaling\/v1: \.spec\.replicas/,
  );
});

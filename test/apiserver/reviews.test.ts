import assert from "node:assert/strict";
import { test } from "node:test";
import {
  create,
  documentBody,
  get,
  list,
  remove,
  watch,
} from "../../services/apiserver/verbs/mod.ts";
import type { VirtualKinds } from "../../services/apiserver/verbs/virtual-kind.ts";
import { builtInRegistry, type Document, defineResource } from "../../services/kinds/mod.ts";
import { adminCall, fails, kind, make, world } from "./harness.ts";

const authentication = "authentication.k8s.io/v1";

test("a resource that is not stored is computed by each verb, and never watched", async () => {
  await using w = await world();
  const weather = defineResource({
    group: "sky.example.com",
    version: "v1",
    kind: "Weather",
    plural: "weathers",
    namespaced: false,
    stored: false,
    verbs: ["get", "list", "create"],
  });
  const documents: Document[] = ["rain", "sun"].map((name) => ({
    metadata: { name, labels: { wet: String(name === "rain") } },
  }));
  const virtual: VirtualKinds = {
    "weathers.sky.example.com": {
      create: (_backend, call, document) => ({ ...document, status: call.user.name }),
      get: (_backend, _call, name) => documents.find(({ metadata }) => metadata?.name === name),
      list: () => documents,
    },
  };
  const registry = builtInRegistry();
  registry.add(weather);
  const backend = { ...w.backend, registry, virtual };
  const call = adminCall();
  const sun = await get(backend, call, weather, { name: "sun" });
  assert.equal(sun.json.toString().includes("resourceVersion"), false);
  assert.equal(sun.document.kind, "Weather");
  await fails(
    get(backend, call, weather, { name: "snow" }),
    "notFound",
    'weathers.sky.example.com "snow" not found',
  );
  const wet = await list(backend, call, weather, { labelSelector: "wet=true" });
  assert.deepEqual(
    wet.items.map(({ name }) => name),
    ["rain"],
  );
  const body = documentBody({ spec: { asked: true } });
  const answer = await create(backend, call, weather, { body });
  assert.deepEqual(answer.document["spec"], { asked: true });
  assert.equal(answer.document["status"], "admin");
  const refused = /the server does not allow this method on the requested resource/;
  await fails(watch(backend, call, weather, {}).next(), "unimplemented", refused);
  await fails(remove(backend, call, weather, { name: "sun" }), "unimplemented", refused);
});

test("a user is told who it is", async () => {
  await using w = await world();
  const document = { apiVersion: authentication, kind: "SelfSubjectReview" };
  const user = {
    name: "jane",
    uid: "7",
    groups: ["devs", "system:masters", "system:authenticated"],
    extra: { "example.com/floor": ["3", "4"] },
  };
  const answer = await make(w.backend, document, adminCall({ user }));
  assert.deepEqual(answer.document["status"], {
    userInfo: {
      username: "jane",
      uid: "7",
      groups: ["devs", "system:masters", "system:authenticated"],
      extra: { "example.com/floor": ["3", "4"] },
    },
  });
  // The typed message carries lists as the values of a map.
  const { codec } = kind("selfsubjectreview");
  assert.deepEqual(codec?.decode(answer.protobuf)["status"], answer.document["status"]);
});

test("a token review tells whose token it is, or that it is nobody's", async () => {
  await using w = await world({ tokens: 'secret,jane,7,"devs"\n' });
  const review = async (spec: object) => {
    const document = { apiVersion: authentication, kind: "TokenReview", spec };
    return (await make(w.backend, document)).document["status"];
  };
  assert.deepEqual(await review({ token: "secret" }), {
    authenticated: true,
    user: { username: "jane", uid: "7", groups: ["devs", "system:authenticated"] },
  });
  assert.deepEqual(await review({ token: "secret", audiences: ["a"] }), {
    authenticated: true,
    user: { username: "jane", uid: "7", groups: ["devs", "system:authenticated"] },
    audiences: ["a"],
  });
  assert.deepEqual(await review({ token: "guess" }), {
    user: {},
    error: "Unauthorized: the bearer token is not known",
  });
  await fails(
    make(w.backend, { apiVersion: authentication, kind: "TokenReview", spec: {} }),
    "invalidArgument",
    "token is required for TokenReview in authentication",
  );
});

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

const authorization = "authorization.k8s.io/v1";
const joe = { name: "joe", groups: ["devs", "system:authenticated"] };

function review(name: string, spec: object, metadata: object = {}): Document {
  return { apiVersion: authorization, kind: name, metadata, spec } as Document;
}

test("access reviews ask the authorizers as a request would", async () => {
  await using w = await world();
  const { backend } = w;
  await make(backend, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "RoleBinding",
    metadata: { name: "view", namespace: "default" },
    subjects: [{ kind: "Group", name: "devs" }],
    roleRef: { kind: "ClusterRole", name: "view" },
  } as Document);
  await backend.cache.waitFor(await backend.store.readRevision());
  const status = async (document: Document, call = adminCall()) =>
    (await make(backend, document, call)).document["status"];
  const reason =
    'RBAC: allowed by RoleBinding "view/default" of ClusterRole "view" to Group "devs"';
  const pods = { namespace: "default", verb: "get", resource: "pods" };
  const self = (spec: object) =>
    status(review("SelfSubjectAccessReview", spec), adminCall({ user: joe }));
  assert.deepEqual(await self({ resourceAttributes: pods }), { allowed: true, reason });
  assert.deepEqual(await self({ resourceAttributes: { ...pods, verb: "delete" } }), {
    allowed: false,
  });
  assert.deepEqual(await self({ resourceAttributes: { ...pods, subresource: "log" } }), {
    allowed: true,
    reason,
  });
  assert.equal(
    (
      (await self({ nonResourceAttributes: { path: "/version", verb: "get" } })) as {
        allowed: boolean;
      }
    ).allowed,
    true,
  );
  const asked = { user: "joe", groups: ["devs"], resourceAttributes: pods };
  assert.deepEqual(await status(review("SubjectAccessReview", asked)), { allowed: true, reason });
  const local = { namespace: "default" };
  assert.deepEqual(await status(review("LocalSubjectAccessReview", asked, local)), {
    allowed: true,
    reason,
  });
  assert.deepEqual(await status(review("SubjectAccessReview", { ...asked, groups: [] })), {
    allowed: false,
  });
  await fails(
    make(backend, review("SubjectAccessReview", asked), adminCall({ user: joe })),
    "permissionDenied",
    /cannot create resource "subjectaccessreviews" in API group "authorization.k8s.io"/,
  );
});

test("bad questions are refused in upstream's words", async () => {
  await using w = await world();
  const pods = { namespace: "default", verb: "get", resource: "pods" };
  const path = { path: "/x", verb: "get" };
  const rows: [string, object, object, RegExp][] = [
    ["SelfSubjectAccessReview", {}, {}, /exactly one of nonResourceAttributes or resourceAttri/],
    [
      "SelfSubjectAccessReview",
      { resourceAttributes: pods, nonResourceAttributes: path },
      {},
      /cannot be specified in combination with resourceAttributes/,
    ],
    [
      "SubjectAccessReview",
      { resourceAttributes: pods },
      {},
      /spec.user: Invalid value: "": at least one of user or group must be specified/,
    ],
    [
      "SubjectAccessReview",
      { resourceAttributes: pods, user: "joe" },
      { name: "x" },
      /metadata: Invalid value: .*must be empty/,
    ],
    [
      "LocalSubjectAccessReview",
      { resourceAttributes: pods, user: "joe" },
      { namespace: "other" },
      /spec.resourceAttributes.namespace: Invalid value: "default": must match/,
    ],
    [
      "LocalSubjectAccessReview",
      { nonResourceAttributes: path, user: "joe" },
      { namespace: "other" },
      /spec.nonResourceAttributes: Invalid value: .*disallowed on this kind of request/,
    ],
  ];
  for (const [name, spec, metadata, message] of rows) {
    await fails(make(w.backend, review(name, spec, metadata)), "invalidArgument", message);
  }
  await fails(
    make(w.backend, review("SelfSubjectRulesReview", {})),
    "invalidArgument",
    "no namespace on request",
  );
});

test("a user is told all rules that it has in a namespace", async () => {
  await using w = await world();
  const rules = async (user: typeof joe) => {
    const document = review("SelfSubjectRulesReview", { namespace: "default" });
    const made = await make(w.backend, document, adminCall({ user }));
    return made.document["status"] as {
      resourceRules: object[];
      nonResourceRules: { nonResourceURLs: string[] }[];
      incomplete: boolean;
      evaluationError?: string;
    };
  };
  // Admission of the request itself needs system:basic-user, which joe has as one of all.
  const own = await rules(joe);
  assert.ok(own.nonResourceRules.some(({ nonResourceURLs }) => nonResourceURLs.includes("/api")));
  assert.deepEqual(own.resourceRules[0], {
    verbs: ["create"],
    apiGroups: ["authorization.k8s.io"],
    resources: ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
  });
  assert.equal(own.incomplete, false);
  const all = await rules({ name: "root", groups: ["system:masters", "system:authenticated"] });
  const everything = { verbs: ["*"], apiGroups: ["*"], resources: ["*"] };
  assert.deepEqual(all.resourceRules[0], everything);
  const node = await rules({
    name: "system:node:n1",
    groups: ["system:nodes", "system:authenticated"],
  });
  assert.equal(node.incomplete, true);
});

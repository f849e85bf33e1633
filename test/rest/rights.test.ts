/** Rights over REST: tokens that end with what they name, and rights that no detour gives. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { after, before, test } from "node:test";
import { patienceMillis } from "../patience.ts";
import { type Ask, protocols, type RestWorld, restWorld } from "./harness.ts";

const issuer = "https://cluster.example.com";
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const signingKey = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
const serviceAccounts = { signingKey, keys: [], issuers: [issuer] };

let world: RestWorld;

before(async () => {
  world = await restWorld({ serviceAccounts });
});
after(() => world[Symbol.asyncDispose]());

const core = "/api/v1/namespaces/default";
const rbac = "/apis/rbac.authorization.k8s.io/v1";
const reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const review = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" };

async function post(path: string, body: object, ask: Ask = {}) {
  return world.ask(path, { method: "POST", body, ...ask });
}

async function made(path: string, body: object) {
  const { status, json, text } = await post(path, body);
  assert.equal(status, 201, text);
  return json;
}

/** The status of an answer to who shows the token. */
async function shown(token: string, server = world): Promise<number> {
  const headers = { authorization: `Bearer ${token}` };
  const ask: Ask = { method: "POST", body: review, as: null, headers };
  return (await server.ask(reviews, ask)).status;
}

async function refusedSoon(token: string): Promise<void> {
  const deadline = Date.now() + patienceMillis;
  while ((await shown(token)) !== 401) assert.ok(Date.now() < deadline, "still taken");
}

async function tokenFor(account: string, boundObjectRef?: object): Promise<string> {
  const body = {
    ...{ apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest" },
    spec: { ...(boundObjectRef && { boundObjectRef }) },
  };
  const { status } = await made(`${core}/serviceaccounts/${account}/token`, body);
  return status.token;
}

const gone = (path: string) =>
  world.ask(`${path}?gracePeriodSeconds=0`, { method: "DELETE" }).then(({ status }) => {
    assert.ok(status === 200 || status === 202);
  });

test("tokens end with their account, pod and secret, also for a master that starts later", async () => {
  await made(`${core}/serviceaccounts`, { metadata: { name: "bot" } });
  const spec = { serviceAccountName: "bot", containers: [{ name: "c", image: "i" }] };
  const pod = await made(`${core}/pods`, { metadata: { name: "p" }, spec });
  const secret = await made(`${core}/secrets`, { metadata: { name: "s" } });
  const refer = (
    kind: string,
    { metadata: { name, uid } }: { metadata: Record<string, string> },
  ) => {
    return { apiVersion: "v1", kind, name, uid };
  };
  const ofPod = await tokenFor("bot", refer("Pod", pod));
  const ofSecret = await tokenFor("bot", refer("Secret", secret));
  const ofAccount = await tokenFor("bot");
  const tokens = [ofPod, ofSecret, ofAccount];
  for (const token of tokens) assert.equal(await shown(token), 201);
  await gone(`${core}/pods/p`);
  await refusedSoon(ofPod);
  await made(`${core}/pods`, { metadata: { name: "p" }, spec });
  assert.equal(await shown(ofPod), 401, "another pod of that name");
  await gone(`${core}/secrets/s`);
  await refusedSoon(ofSecret);
  assert.equal(await shown(ofAccount), 201);
  await gone(`${core}/serviceaccounts/bot`);
  await refusedSoon(ofAccount);
  await made(`${core}/serviceaccounts`, { metadata: { name: "bot" } });
  const fresh = await tokenFor("bot");
  await using late = await restWorld({ serviceAccounts, store: world.store });
  for (const token of tokens) assert.equal(await shown(token, late), 401);
  assert.equal(await shown(fresh, late), 201);
});

test("a secret that claims to hold a token proves no account", async () => {
  await made(`${core}/serviceaccounts`, { metadata: { name: "old" } });
  const other = `${core}/secrets`;
  const annotations = { "kubernetes.io/service-account.name": "old" };
  const type = "kubernetes.io/service-account-token";
  const forged = await post(other, {
    metadata: { name: "forged", annotations },
    type,
    data: { token: Buffer.from("a.b.c").toString("base64") },
  });
  assert.equal(forged.status, 201);
  assert.equal(await shown("a.b.c"), 401);
});

test("a node reads and writes what is its own alone", async () => {
  const as = await world.user("system:node:n1", "system:nodes");
  for (const name of ["n1", "n2"]) await made("/api/v1/nodes", { metadata: { name } });
  await made(`${core}/secrets`, { metadata: { name: "hidden" } });
  await made(`${core}/configmaps`, { metadata: { name: "hidden" } });
  await made(`/api/v1/persistentvolumes`, {
    metadata: { name: "hidden" },
    spec: {
      capacity: { storage: "1Gi" },
      accessModes: ["ReadWriteOnce"],
      hostPath: { path: "/x" },
    },
  });
  const spec = { nodeName: "n2", containers: [{ name: "c", image: "i" }] };
  await made(`${core}/pods`, { metadata: { name: "theirs" }, spec });
  const merge = { "content-type": "application/merge-patch+json" };
  const status = { method: "PATCH", headers: merge, body: { status: { phase: "Failed" } } };
  const rows: [string, Ask][] = [
    [`${core}/secrets/hidden`, {}],
    [`${core}/secrets`, {}],
    ["/api/v1/secrets?watch=true", {}],
    [`${core}/secrets?fieldSelector=metadata.name%3Dhidden`, {}],
    [`${core}/secrets?fieldSelector=metadata.name%3Dhidden&watch=true`, {}],
    [`/api/v1/watch/namespaces/default/secrets/hidden`, {}],
    [`${core}/configmaps/hidden`, {}],
    ["/api/v1/configmaps", {}],
    ["/api/v1/persistentvolumes/hidden", {}],
    ["/api/v1/persistentvolumes", {}],
    [`${core}/pods/theirs/status`, status],
    [`${core}/pods/theirs`, { method: "DELETE" }],
    [`${core}/pods/theirs`, {}],
    ["/api/v1/pods", {}],
    ["/api/v1/nodes/n2/status", status],
    ["/api/v1/nodes/n2", { method: "DELETE" }],
    ["/api/v1/nodes/n2/proxy/metrics", {}],
    [`${core}/serviceaccounts/default/token`, { method: "POST", body: { spec: {} } }],
    [`${rbac}/clusterroles`, {}],
  ];
  const answers: [string, number][] = [];
  for (const [path, ask] of rows) {
    answers.push([path, (await world.ask(path, { ...ask, as })).status]);
  }
  assert.deepEqual(
    answers,
    rows.map(([path]) => [path, 403]),
  );
  const own = await world.ask("/api/v1/nodes/n1", { as });
  assert.equal(own.status, 200);
});

test("no way of writing a role or binding gives its user more rights", async () => {
  const as = await world.user("grace", "team");
  const apiGroups = ["rbac.authorization.k8s.io"];
  const verbs = ["get", "create", "update", "patch", "delete"];
  const resources = ["roles", "rolebindings", "clusterroles", "clusterrolebindings"];
  await made(`${rbac}/clusterroles`, {
    metadata: { name: "grace" },
    rules: [
      { apiGroups, resources, verbs },
      { apiGroups: [""], resources: ["pods"], verbs: ["get"] },
    ],
  });
  await made(`${rbac}/clusterrolebindings`, {
    metadata: { name: "grace" },
    subjects: [{ kind: "Group", apiGroup: apiGroups[0], name: "team" }],
    roleRef: { apiGroup: apiGroups[0], kind: "ClusterRole", name: "grace" },
  });
  const roles = `${rbac}/namespaces/default/roles`;
  const kind = { apiVersion: `${apiGroups[0]}/v1`, kind: "Role" };
  const fine = [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }];
  const over = [{ apiGroups: [""], resources: ["secrets"], verbs: ["get"] }];
  const role = (rules: object, name = "r") => ({ ...kind, metadata: { name }, rules });
  const deadline = Date.now() + patienceMillis;
  while ((await post(roles, role(fine), { as })).status !== 201) assert.ok(Date.now() < deadline);
  const patches = (type: string) => ({ "content-type": `application/${type}` });
  const apply = "?fieldManager=g&force=true";
  const ways: [string, Ask][] = [
    [roles, { method: "POST", body: role(over, "new") }],
    [`${roles}?dryRun=All`, { method: "POST", body: role(over, "new") }],
    [`${roles}/r`, { method: "PUT", body: role(over) }],
    [
      `${roles}/r`,
      { method: "PATCH", headers: patches("merge-patch+json"), body: { rules: over } },
    ],
    [
      `${roles}/r`,
      {
        method: "PATCH",
        headers: patches("json-patch+json"),
        body: [{ op: "add", path: "/rules/0/resources/-", value: "secrets" }],
      },
    ],
    [
      `${roles}/r`,
      {
        method: "PATCH",
        headers: patches("strategic-merge-patch+json"),
        body: { rules: over },
      },
    ],
    [
      `${roles}/r${apply}`,
      { method: "PATCH", headers: patches("apply-patch+yaml"), body: role(over) },
    ],
    [
      `${roles}/new${apply}`,
      { method: "PATCH", headers: patches("apply-patch+yaml"), body: role(over, "new") },
    ],
    [
      `${rbac}/clusterrolebindings`,
      {
        method: "POST",
        body: {
          metadata: { name: "up" },
          subjects: [{ kind: "User", apiGroup: apiGroups[0], name: "grace" }],
          roleRef: { apiGroup: apiGroups[0], kind: "ClusterRole", name: "cluster-admin" },
        },
      },
    ],
    [
      `${rbac}/clusterroles`,
      {
        method: "POST",
        body: {
          metadata: {
            name: "sly",
            labels: { "rbac.authorization.k8s.io/aggregate-to-view": "true" },
          },
          rules: over,
        },
      },
    ],
  ];
  for (const [path, ask] of ways) {
    const { status, json, text } = await world.ask(path, { ...ask, as });
    assert.deepEqual([ask.method, path, status], [ask.method, path, 403], text);
    assert.match(json.message, /is attempting to grant RBAC permissions not currently held/);
  }
  const kept = await world.ask(`${roles}/r`, { as });
  assert.deepEqual(kept.json.rules, fine);
});

test("headers that come twice: the first user, every group, every extra value", async () => {
  for (const protocol of protocols) {
    const twice = {
      "impersonate-user": "jane",
      "impersonate-group": ["a", "b"],
      "impersonate-extra-floor": ["3", "4"],
    } as unknown as Record<string, string>;
    const ask = { method: "POST", body: review, headers: twice };
    const { json, text } = await world.ask(reviews, ask, protocol);
    assert.deepEqual(json.status?.userInfo?.groups, ["a", "b", "system:authenticated"], text);
    assert.deepEqual(json.status.userInfo.extra, { floor: ["3", "4"] });
    const alone = { "impersonate-extra-floor": "3" };
    const { status } = await world.ask(reviews, { ...ask, headers: alone }, protocol);
    assert.equal(status, 400);
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { authorize, decide } from "../../services/apiserver/auth/authorize.ts";
import { bootstrap } from "../../services/apiserver/bootstrap.ts";
import { pathInfo, type RequestInfo } from "../../services/apiserver/request-info.ts";
import { createSelection } from "../../services/apiserver/storage/selection.ts";
import {
  type Backend,
  documentBody,
  get,
  internalCall,
  patch,
  remove,
  update,
} from "../../services/apiserver/verbs/mod.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { eventually } from "../patience.ts";
import { adminCall, callAs, fails, failure, kind, make, world } from "./harness.ts";

const apiGroup = "rbac.authorization.k8s.io";
const apiVersion = `${apiGroup}/v1`;

interface Rule {
  readonly verbs: string[];
  readonly [field: string]: string[];
}

const core = (verbs: string, resources: string, rest: object = {}) => ({
  apiGroups: [""],
  verbs: verbs.split(" "),
  resources: resources.split(" "),
  ...rest,
});

const user = (name: string) => ({ kind: "User", apiGroup, name });

function role(name: string, rules: readonly Rule[] | object[], namespace = "default"): Document {
  return { apiVersion, kind: "Role", metadata: { name, namespace }, rules };
}

function clusterRole(name: string, rules: object[], labels: Record<string, string> = {}): Document {
  return { apiVersion, kind: "ClusterRole", metadata: { name, labels }, rules };
}

function binding(name: string, ref: string, subjects: object[], namespace?: string): Document {
  const [refKind = "", refName = ""] = ref.split(" ");
  return {
    apiVersion,
    kind: namespace === undefined ? "ClusterRoleBinding" : "RoleBinding",
    metadata: { name, ...(namespace !== undefined && { namespace }) },
    subjects,
    roleRef: { apiGroup, kind: refKind, name: refName },
  };
}

/** `verb resource[/subresource] [namespace/]name`. */
function request(who: string, text: string, groups: string[] = []): RequestInfo {
  const [verb = "", what = "", where = ""] = text.split(" ");
  const slash = where.indexOf("/");
  const [resource = "", subresource = ""] = what.split("/");
  const [plural = "", ...group] = resource.split(".");
  const all = { name: who, groups: [...groups, "system:authenticated"] };
  return {
    user: all,
    verb,
    group: group.join("."),
    resource: plural,
    subresource,
    namespace: slash < 0 ? "" : where.slice(0, slash),
    name: where.slice(slash + 1),
    fieldSelector: "",
    path: "",
  };
}

async function shown(backend: Backend): Promise<void> {
  await backend.cache.waitFor(await backend.store.readRevision());
}

test("roles give what they say and no more", async () => {
  await using w = await world();
  const { backend } = w;
  for (const document of [
    role("reader", [
      core("get list", "pods configmaps"),
      core("get", "secrets", { resourceNames: ["s"] }),
    ]),
    clusterRole("scaler", [{ verbs: ["update"], apiGroups: ["*"], resources: ["*/scale"] }]),
    clusterRole("metrics", [{ verbs: ["get"], nonResourceURLs: ["/metrics*"] }]),
    clusterRole("logs", [core("*", "pods/log")]),
    clusterRole("apps", [{ verbs: ["get"], apiGroups: ["apps"], resources: ["*"] }]),
    binding(
      "reader",
      "Role reader",
      [user("jane"), { kind: "ServiceAccount", name: "bot" }],
      "default",
    ),
    binding("scaler", "ClusterRole scaler", [user("jane")]),
    binding("metrics", "ClusterRole metrics", [{ kind: "Group", apiGroup, name: "ops" }]),
    binding("logs", "ClusterRole logs", [user("jane")], "default"),
    binding("apps", "ClusterRole apps", [user("jane")]),
    binding("dangling", "Role gone", [user("jane")], "default"),
  ]) {
    await make(backend, document);
  }
  await shown(backend);
  const rows: [who: string, text: string, allowed: boolean][] = [
    ["jane", "get pods default/p", true],
    ["jane", "list pods default/", true],
    ["jane", "watch pods default/", false],
    ["jane", "get pods other/p", false],
    ["jane", "list pods ", false],
    ["jane", "get pods/log default/p", true],
    ["jane", "get pods/status default/p", false],
    ["jane", "get secrets default/s", true],
    ["jane", "get secrets default/t", false],
    ["jane", "list secrets default/", false],
    ["jane", "update deployments.apps/scale default/d", true],
    ["jane", "update anything.example.com/scale x/d", true],
    ["jane", "update deployments.apps default/d", false],
    ["jane", "get deployments.apps x/d", true],
    ["jane", "get deployments.apps/status x/d", true],
    ["jane", "get deployments.extensions x/d", false],
    ["system:serviceaccount:default:bot", "get configmaps default/c", true],
    ["system:serviceaccount:other:bot", "get configmaps default/c", false],
    ["joe", "get pods default/p", false],
  ];
  for (const [who, text, allowed] of rows) {
    assert.equal(
      decide(backend.authorizers, request(who, text)).allowed,
      allowed,
      `${who} ${text}`,
    );
  }
  const paths: [path: string, allowed: boolean][] = [
    ["/metrics", true],
    ["/metrics/slis", true],
    ["/logs", false],
    ["/api", true],
    ["/apis/apps/v1", true],
    ["/healthz", true],
    ["/healthz/etcd", false],
  ];
  for (const [path, allowed] of paths) {
    const info = pathInfo({ name: "joe", groups: ["ops", "system:authenticated"] }, path);
    assert.equal(decide(backend.authorizers, info).allowed, allowed, path);
  }
  assert.throws(
    () => authorize(backend.authorizers, request("jane", "get nodes n")),
    /User "jane" cannot get resource "nodes" in API group "" at the cluster scope$/,
  );
  assert.throws(
    () => authorize(backend.authorizers, request("jane", "delete pods default/p")),
    /in the namespace "default": RBAC: role.rbac.authorization.k8s.io "gone" not found$/,
  );
});

test("a decision tells whose binding it comes from", async () => {
  await using w = await world();
  await make(w.backend, role("reader", [core("get", "pods")]));
  await make(
    w.backend,
    binding("b", "Role reader", [{ kind: "ServiceAccount", name: "bot" }], "default"),
  );
  await shown(w.backend);
  const account = request("system:serviceaccount:default:bot", "get pods default/p");
  assert.equal(
    decide(w.backend.authorizers, account).reason,
    'RBAC: allowed by RoleBinding "b/default" of Role "reader" to ServiceAccount "bot/default"',
  );
  const proxy = request("system:kube-proxy", "watch services ");
  assert.equal(
    decide(w.backend.authorizers, proxy).reason,
    'RBAC: allowed by ClusterRoleBinding "system:node-proxier" of ClusterRole ' +
      '"system:node-proxier" to User "system:kube-proxy"',
  );
});

test("decisions follow every change of a role and of its bindings", async () => {
  await using w = await world();
  const { backend } = w;
  const can = (text: string) => decide(backend.authorizers, request("jane", text)).allowed;
  const put = async (document: Document) => {
    const resource = kind((document.kind ?? "").toLowerCase());
    const body = documentBody(document);
    await update(backend, adminCall(), resource, { body, subresource: "", typed: false });
    await shown(backend);
  };
  await make(backend, role("r", [core("get", "pods")]));
  await make(backend, binding("b", "Role r", [user("jane"), user("joe")], "default"));
  await shown(backend);
  assert.equal(can("get pods default/p"), true);
  await put(role("r", [core("get", "services")]));
  assert.deepEqual([can("get pods default/p"), can("get services default/s")], [false, true]);
  await put(binding("b", "Role r", [user("joe")], "default"));
  assert.equal(can("get services default/s"), false);
  await put(binding("b", "Role r", [user("jane")], "default"));
  assert.equal(can("get services default/s"), true);
  await remove(backend, adminCall(), kind("roles"), { namespace: "default", name: "r" });
  await shown(backend);
  assert.equal(can("get services default/s"), false);
  await make(backend, role("r", [core("*", "*")]));
  await shown(backend);
  assert.equal(can("delete services default/s"), true);
  await remove(backend, adminCall(), kind("rolebindings"), { namespace: "default", name: "b" });
  await shown(backend);
  assert.equal(can("delete services default/s"), false);
});

test("a new role, and a binding, need the rights that they give", async () => {
  await using w = await world();
  const { backend } = w;
  await make(backend, binding("jane", "ClusterRole admin", [user("jane")], "default"));
  await make(
    backend,
    clusterRole("limited", [
      { verbs: ["create", "update"], apiGroups: [apiGroup], resources: ["clusterroles"] },
      core("get", "nodes", { resourceNames: ["n"] }),
    ]),
  );
  await make(backend, binding("limited", "ClusterRole limited", [user("jane")]));
  await shown(backend);
  const jane = callAs("jane", "devs");
  const who = 'user "jane" (groups=["devs" "system:authenticated"]) is attempting to grant RBAC';
  await make(backend, role("fine", [core("get list", "pods secrets")]), jane);
  const over = role("over", [core("get list", "nodes pods"), core("get", "limitranges/x")]);
  await fails(
    make(backend, over, jane),
    "permissionDenied",
    `roles.rbac.authorization.k8s.io "over" is forbidden: ${who} permissions not currently held:\n` +
      `{APIGroups:[""], Resources:["limitranges/x"], Verbs:["get"]}\n` +
      `{APIGroups:[""], Resources:["nodes"], Verbs:["get" "list"]}`,
  );
  await make(backend, clusterRole("one", [core("get", "nodes", { resourceNames: ["n"] })]), jane);
  await fails(
    make(backend, clusterRole("more", [core("get", "nodes", { resourceNames: ["n", "m"] })]), jane),
    "permissionDenied",
    /\{APIGroups:\[""\], Resources:\["nodes"\], ResourceNames:\["m"\], Verbs:\["get"\]\}$/,
  );
  await fails(
    make(backend, clusterRole("urls", [{ verbs: ["get"], nonResourceURLs: ["/logs"] }]), jane),
    "permissionDenied",
    /\{NonResourceURLs:\["\/logs"\], Verbs:\["get"\]\}$/,
  );
  const aggregate = { ...clusterRole("all", []), aggregationRule: { clusterRoleSelectors: [{}] } };
  await fails(
    make(backend, aggregate, jane),
    "permissionDenied",
    /must have cluster-admin privileges to use an aggregationRule/,
  );
  await make(backend, binding("view", "ClusterRole view", [user("joe")], "default"), jane);
  await fails(
    make(backend, binding("all", "ClusterRole cluster-admin", [user("jane")], "default"), jane),
    "permissionDenied",
    /\{APIGroups:\["\*"\], Resources:\["\*"\], Verbs:\["\*"\]\}/,
  );
  const gone = 'roles.rbac.authorization.k8s.io "gone" not found';
  await fails(
    make(backend, binding("x", "Role gone", [user("joe")], "default"), jane),
    "notFound",
    gone,
  );
  await make(backend, binding("x", "Role gone", [user("joe")], "default"));
});

test("the verbs escalate and bind give the freedom to hand out more", async () => {
  await using w = await world();
  const { backend } = w;
  const verbs = ["create", "update", "escalate"];
  await make(backend, clusterRole("maker", [{ verbs, apiGroups: [apiGroup], resources: ["*"] }]));
  await make(
    backend,
    clusterRole("binder", [
      { verbs: ["create"], apiGroups: [apiGroup], resources: ["rolebindings"] },
      {
        verbs: ["bind"],
        apiGroups: [apiGroup],
        resources: ["clusterroles"],
        resourceNames: ["cluster-admin"],
      },
    ]),
  );
  await make(backend, binding("maker", "ClusterRole maker", [user("max")], "default"));
  await make(backend, binding("binder", "ClusterRole binder", [user("ben")], "default"));
  await shown(backend);
  await make(backend, role("all", [core("*", "*")]), callAs("max"));
  const bound = binding("all", "ClusterRole cluster-admin", [user("ben")], "default");
  await failure(make(backend, bound, callAs("max")));
  await make(backend, bound, callAs("ben"));
  const other = binding("admin", "ClusterRole admin", [user("ben")], "default");
  await failure(make(backend, other, callAs("max")));
});

test("rules that stand for too many rights are refused, not taken apart", async () => {
  await using w = await world();
  await make(w.backend, binding("jane", "ClusterRole admin", [user("jane")], "default"));
  await shown(w.backend);
  const many = Array.from({ length: 400 }, (_, index) => `r${index}`);
  const vast = role("vast", [{ verbs: many, apiGroups: many, resources: many }]);
  await fails(make(w.backend, vast, callAs("jane")), "invalidArgument", /more than 100000 single/);
});

test("the default roles are there, and what is taken from them comes back at a start", async () => {
  await using w = await world();
  const { backend } = w;
  const read = async (name: string, of = "clusterroles") =>
    (await get(backend, adminCall(), kind(of), { name })).document as Document & {
      rules: Rule[];
      subjects?: object[];
    };
  const edit = await read("edit");
  assert.equal(edit.metadata?.labels?.["kubernetes.io/bootstrapping"], "rbac-defaults");
  assert.equal(edit.metadata?.annotations?.["rbac.authorization.kubernetes.io/autoupdate"], "true");
  const selection = createSelection(kind("clusterroles"), {
    labelSelector: "kubernetes.io/bootstrapping=rbac-defaults",
  });
  const names = [...backend.cache.of(kind("clusterroles")).select(selection)].map(
    ({ name }) => name,
  );
  for (const name of [
    "view",
    "system:node",
    "system:controller:job-controller",
    "system:discovery",
  ]) {
    assert.ok(names.includes(name), name);
  }
  const put = async (document: Document) => {
    const resource = kind((document.kind ?? "").toLowerCase());
    const body = documentBody(structuredClone(document));
    await update(backend, adminCall(), resource, { body, subresource: "", typed: false });
    await shown(backend);
  };
  const revision = () => backend.store.readRevision();
  const before = await revision();
  await bootstrap(backend, new AbortController().signal);
  assert.equal(await revision(), before, "a second start writes nothing");

  const proxier = await read("system:node-proxier");
  const [first] = proxier.rules;
  await put({ ...proxier, rules: [core("get", "pods")] });
  const bound = await read("system:node-proxier", "clusterrolebindings");
  await put({ ...bound, subjects: [user("jane")] });
  const discovery = await read("system:discovery");
  const off = { "rbac.authorization.kubernetes.io/autoupdate": "false" };
  await put({ ...discovery, rules: [], metadata: { ...discovery.metadata, annotations: off } });
  await remove(backend, adminCall(), kind("clusterroles"), { name: "view" });
  await shown(backend);
  await bootstrap(backend, new AbortController().signal);
  await shown(backend);
  const mended = await read("system:node-proxier");
  assert.deepEqual(mended.rules[0], core("get", "pods"), "nothing is taken away");
  assert.ok(
    mended.rules.some((each) => each.verbs.includes("list")),
    JSON.stringify(first),
  );
  const subjects = (await read("system:node-proxier", "clusterrolebindings")).subjects;
  assert.deepEqual(subjects, [user("jane"), user("system:kube-proxy")]);
  assert.deepEqual((await read("system:discovery")).rules, []);
  assert.ok((await read("view")).rules.length > 5);
});

test("two masters may bring in the default roles at once", async () => {
  await using w = await world();
  const other = await w.another();
  await eventually("the other master's cache", () => other.cache.filled);
  const signal = new AbortController().signal;
  await remove(w.backend, adminCall(), kind("clusterroles"), { name: "view" });
  await Promise.all([bootstrap(w.backend, signal), bootstrap(other, signal)]);
  const view = await get(other, internalCall(adminCall().user), kind("clusterroles"), {
    name: "view",
  });
  assert.equal(view.name, "view");
});

test("a master that starts does not refuse what it may allow in a moment", async () => {
  await using w = await world();
  const starting = await w.another();
  const status = pathInfo({ name: "lb", groups: ["system:authenticated"] }, "/cluster/status");
  assert.equal(decide(starting.authorizers, status).allowed, true);
  const snapshot = pathInfo(status.user, "/cluster/snapshot");
  assert.equal(decide(starting.authorizers, snapshot).allowed, false);
  const unknown = request("jane", "get pods default/p");
  assert.throws(() => decide(starting.authorizers, unknown), {
    message: "the apiserver is starting: its roles have not been read yet",
  });
  assert.equal(
    decide(starting.authorizers, request("system:kube-proxy", "list services ")).allowed,
    true,
  );
  await bootstrap(starting, new AbortController().signal);
  assert.equal(decide(starting.authorizers, unknown).allowed, false);
});

test("server-side apply and patches are held to the rights of their user too", async () => {
  await using w = await world();
  const { backend } = w;
  await make(backend, binding("jane", "ClusterRole admin", [user("jane")], "default"));
  await make(backend, role("r", [core("get", "pods")]));
  await shown(backend);
  const over = role("r", [core("*", "*")]);
  const apply = "application/apply-patch+yaml";
  const attempt = (patchType: string, name: string, document: object) =>
    patch(backend, callAs("jane"), kind("roles"), {
      ...{ namespace: "default", name, patchType },
      patch: Buffer.from(JSON.stringify(document)),
      ...(patchType === apply && { force: true }),
      options: { fieldManager: "jane" },
    });
  const why = /is attempting to grant RBAC permissions not currently held/;
  const made = { ...over, metadata: { name: "new", namespace: "default" } };
  await fails(attempt(apply, "new", made), "permissionDenied", why);
  await fails(attempt(apply, "r", over), "permissionDenied", why);
  const { rules } = over as { rules?: object };
  await fails(attempt("application/merge-patch+json", "r", { rules }), "permissionDenied", why);
  await attempt("application/merge-patch+json", "r", { metadata: { labels: { a: "b" } } });
});

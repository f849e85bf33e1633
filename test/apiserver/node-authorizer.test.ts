import assert from "node:assert/strict";
import { test } from "node:test";
import { decide } from "../../services/apiserver/auth/authorize.ts";
import { NodeGraph } from "../../services/apiserver/auth/node-graph.ts";
import type { RequestInfo, User } from "../../services/apiserver/request-info.ts";
import { type Backend, create, documentBody, remove } from "../../services/apiserver/verbs/mod.ts";
import { createToken } from "../../services/apiserver/verbs/tokens.ts";
import { update } from "../../services/apiserver/verbs/update.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { adminCall, callAs, fails, kind, make, pod, world } from "./harness.ts";

const node: User = {
  name: "system:node:n1",
  groups: ["system:nodes", "system:authenticated"],
};
const nodeCall = () => callAs(node.name, "system:nodes");

/** `verb resource[.group][/subresource] [namespace/]name [field selector]`. */
function request(text: string): RequestInfo {
  const [verb = "", what = "", where = "", fieldSelector = ""] = text.split(" ");
  const [resource = "", subresource = ""] = what.split("/");
  const [plural = "", ...group] = resource.split(".");
  const slash = where.indexOf("/");
  return {
    user: node,
    verb,
    group: group.join("."),
    resource: plural,
    subresource,
    namespace: slash < 0 ? "" : where.slice(0, slash),
    name: where.slice(slash + 1),
    fieldSelector,
    path: "",
  };
}

function bound(name: string, spec: object, metadata: object = {}): Document {
  return pod(name, metadata, { nodeName: "n1", ...spec });
}

async function shown(backend: Backend): Promise<void> {
  await backend.cache.waitFor(await backend.store.readRevision());
}

const needy = {
  serviceAccountName: "default",
  imagePullSecrets: [{ name: "pull" }],
  volumes: [
    { name: "s", secret: { secretName: "mounted" } },
    { name: "c", persistentVolumeClaim: { claimName: "claim" } },
    { name: "p", projected: { sources: [{ configMap: { name: "map" } }] } },
  ],
};

test("a node reaches what its pods name, for as long as they do", async () => {
  await using w = await world();
  const { backend } = w;
  const can = (text: string) => decide(backend.authorizers, request(text)).allowed;
  await make(backend, bound("a", needy));
  await make(backend, bound("b", { imagePullSecrets: [{ name: "pull" }] }));
  await make(backend, pod("c", {}, { nodeName: "n2", imagePullSecrets: [{ name: "other" }] }));
  await shown(backend);
  const rows: [text: string, allowed: boolean][] = [
    ["get secrets default/mounted", true],
    ["get secrets default/pull", true],
    ["get secrets default/other", false],
    ["get secrets other/mounted", false],
    ["list secrets default/", false],
    ["watch secrets default/ metadata.name=mounted", true],
    ["watch secrets default/ metadata.name=other", false],
    ["update secrets default/mounted", false],
    ["get configmaps default/map", true],
    ["get configmaps default/mounted", false],
    ["get persistentvolumeclaims default/claim", true],
    ["get persistentvolumeclaims default/another", false],
    ["create serviceaccounts/token default/default", true],
    ["create serviceaccounts/token default/builder", false],
    ["get pods default/a", true],
    ["get pods default/c", false],
    ["update pods/status default/a", true],
    ["update pods/status default/c", false],
    ["create pods/eviction default/c", false],
    ["list pods ", false],
    ["list pods / spec.nodeName=n1", true],
    ["list pods / spec.nodeName!=n1", false],
    ["get nodes n1", true],
    ["get nodes n2", false],
    ["watch nodes / metadata.name=n1", true],
    ["list nodes ", false],
    ["update nodes/status n1", true],
    ["update nodes/status n2", false],
    ["delete nodes n1", false],
    ["get leases.coordination.k8s.io kube-node-lease/n1", true],
    ["update leases.coordination.k8s.io kube-node-lease/n2", false],
    ["get leases.coordination.k8s.io kube-system/n1", false],
    ["update csinodes.storage.k8s.io n1", true],
    ["update csinodes.storage.k8s.io n2", false],
    ["list services ", true],
    ["create events default/", true],
    ["get deployments.apps default/d", false],
    ["create tokenreviews.authentication.k8s.io ", true],
  ];
  for (const [text, allowed] of rows) assert.equal(can(text), allowed, text);
  const gone = (name: string) =>
    remove(backend, adminCall(), kind("pods"), {
      ...{ namespace: "default", name },
      gracePeriodSeconds: 0,
    });
  await gone("a");
  await shown(backend);
  assert.equal(can("get secrets default/mounted"), false);
  assert.equal(can("get secrets default/pull"), true, "another pod still needs it");
  await gone("b");
  await shown(backend);
  assert.equal(can("get secrets default/pull"), false);
  assert.match(
    decide(backend.authorizers, request("get secrets default/pull")).reason ?? "",
    /no relationship found between node 'n1' and this object/,
  );
});

test("a mirror pod opens nothing", () => {
  const graph = new NodeGraph();
  const mirror = { annotations: { "kubernetes.io/config.mirror": "x" } };
  graph.pods.added({ document: bound("m", needy, mirror) });
  assert.equal(graph.needs("n1", "secrets", "default", "mounted"), false);
  assert.equal(graph.nodeOfPod("default", "m"), "n1");
  graph.pods.added({ document: bound("a", needy) });
  assert.equal(graph.needs("n1", "secrets", "default", "mounted"), true);
  graph.pods.removed({ document: bound("a", needy) });
  assert.equal(graph.needs("n1", "secrets", "default", "mounted"), false);
});

test("a node registers itself with labels of its own, and touches no others", async () => {
  await using w = await world();
  const { backend } = w;
  const object = (name: string, labels: Record<string, string> = {}, spec: object = {}) =>
    ({ apiVersion: "v1", kind: "Node", metadata: { name, labels }, spec }) as Document;
  const register = (document: Document) => make(backend, document, nodeCall());
  await fails(register(object("n2")), "permissionDenied", /not allowed to modify node "n2"/);
  await fails(
    register(object("n1", { "node-restriction.kubernetes.io/zone": "a", "k8s.io/x": "y" })),
    "permissionDenied",
    /is not allowed to set the following labels: k8s.io\/x, node-restriction.kubernetes.io\/zone/,
  );
  const labels = { "kubernetes.io/hostname": "n1", "node.kubernetes.io/gpu": "no", own: "yes" };
  const taints = [{ key: "new", effect: "NoSchedule" }];
  await register(object("n1", labels, { taints }));
  await shown(backend);
  const put = (document: Document, call = nodeCall()) =>
    update(backend, call, kind("nodes"), {
      body: documentBody(document),
      subresource: "",
      typed: false,
    });
  await put(object("n1", { ...labels, own: "no" }, { taints }));
  await fails(put(object("n1", labels, {})), "permissionDenied", /not allowed to modify taints/);
  const steered = { ...labels, "a.node-restriction.kubernetes.io/b": "c" };
  await fails(
    put(object("n1", steered, { taints })),
    "permissionDenied",
    /is not allowed to modify labels: a.node-restriction.kubernetes.io\/b/,
  );
  await put(object("n1", steered, {}), adminCall());
});

test("a node makes mirror pods of its own and nothing that opens a door", async () => {
  await using w = await world();
  const annotations = { "kubernetes.io/config.mirror": "x" };
  const rows: [Document, RegExp][] = [
    [bound("a", {}), /pod does not have "kubernetes.io\/config.mirror" annotation/],
    [pod("a", { annotations }, { nodeName: "n2" }), /with spec.nodeName set to itself/],
    [
      bound("a", { imagePullSecrets: [{ name: "s" }] }, { annotations }),
      /can not create pods that reference secrets/,
    ],
    [
      bound(
        "a",
        {},
        {
          annotations,
          ownerReferences: [{ apiVersion: "v1", kind: "Node", name: "n2", uid: "u" }],
        },
      ),
      /with an owner reference set to itself/,
    ],
  ];
  for (const [document, why] of rows) {
    await fails(make(w.backend, document, nodeCall()), "permissionDenied", why);
  }
  await create(w.backend, nodeCall(), kind("pods"), {
    body: documentBody(bound("a", {}, { annotations })),
  });
});

test("a node gets tokens for the pods that run on it", async () => {
  const { generateKeyPairSync } = await import("node:crypto");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const signingKey = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  await using w = await world({
    serviceAccounts: { signingKey, keys: [], issuers: ["https://c"] },
  });
  const { backend } = w;
  const account = { apiVersion: "v1", kind: "ServiceAccount" };
  await make(backend, { ...account, metadata: { name: "default", namespace: "default" } });
  const mine = await make(backend, bound("mine", {}));
  const other = await make(backend, pod("other", {}, { nodeName: "n2" }));
  await shown(backend);
  const token = (name?: string, uid?: string) =>
    createToken(backend, nodeCall(), kind("serviceaccounts"), {
      metadata: { name: "default", namespace: "default" },
      spec: {
        ...(name && { boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid } }),
      },
    });
  const uidOf = (object: typeof mine) => object.document.metadata?.uid;
  assert.ok((await token("mine", uidOf(mine))).status?.token);
  await fails(token(), "permissionDenied", /node requested token not bound to a pod/);
  await fails(token("mine"), "permissionDenied", /with a pod binding without a uid/);
  await fails(token("other", uidOf(other)), "permissionDenied", /scheduled on a different node/);
});

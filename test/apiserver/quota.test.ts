/** Quotas: what they count, in which words they refuse, and that they hold under concurrency. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ResourceQuota } from "../../proto/gen/core.ts";
import { documentBody, get, update } from "../../services/apiserver/verbs/mod.ts";
import { eventually } from "../patience.ts";
import {
  adminCall,
  configMap,
  fails,
  failure,
  kind,
  make,
  pod,
  service,
  type World,
  world,
} from "./harness.ts";

const quota = (hard: Record<string, string>, spec: object = {}) => ({
  apiVersion: "v1",
  kind: "ResourceQuota",
  metadata: { name: "q", namespace: "default" },
  spec: { hard, ...spec },
});

/** The quota is cached by every master before anything counts against it. */
async function withQuota(w: World, document: ReturnType<typeof quota>) {
  const made = await make(w.backend, document);
  await w.backend.cache.waitFor(made.revision);
  return made;
}

async function used(w: World): Promise<Record<string, string>> {
  const request = { name: "q", namespace: "default" };
  const found = await get(w.backend, adminCall(), kind("resourcequotas"), request);
  return (found.document as ResourceQuota).status?.used ?? {};
}

const sized = (name: string, requests: object, limits: object = requests) =>
  pod(
    name,
    {},
    {
      containers: [{ name: "main", image: "busybox", resources: { requests, limits } }],
    },
  );

test("a new quota says what is used already", async () => {
  await using w = await world();
  const map = await make(w.backend, configMap("a"));
  await w.backend.cache.waitFor(map.revision);
  await withQuota(w, quota({ configmaps: "5", pods: "3", "count/deployments.apps": "1" }));
  assert.deepEqual(await used(w), { configmaps: "1", pods: "0", "count/deployments.apps": "0" });
});

test("what exceeds a quota is refused in upstream's words", async () => {
  await using w = await world();
  await withQuota(w, quota({ pods: "2", "requests.cpu": "1", "limits.memory": "1Gi" }));
  await make(w.backend, sized("a", { cpu: "600m", memory: "512Mi" }));
  const refused = (document: ReturnType<typeof pod>, why: string) =>
    fails(make(w.backend, document), "permissionDenied", `pods "b" is forbidden: ${why}`);
  await refused(
    sized("b", { cpu: "500m", memory: "600Mi" }),
    "exceeded quota: q, requested: limits.memory=600Mi,requests.cpu=500m, used: " +
      "limits.memory=512Mi,requests.cpu=600m, limited: limits.memory=1Gi,requests.cpu=1",
  );
  await refused(
    pod("b"),
    "failed quota: q: must specify limits.memory for: main; requests.cpu for: main",
  );
  await make(w.backend, sized("c", { cpu: "400m", memory: "512Mi" }));
  assert.deepEqual(await used(w), { pods: "2", "requests.cpu": "1", "limits.memory": "1Gi" });
});

test("services and their ports count, on updates too", async () => {
  await using w = await world();
  await withQuota(w, quota({ services: "1", "services.nodeports": "0" }));
  const made = await make(w.backend, service("a"));
  await w.backend.cache.waitFor(made.revision);
  const next = made.copy();
  next["spec"] = { ...(next["spec"] as object), type: "NodePort" };
  delete next.metadata?.resourceVersion;
  await fails(
    update(w.backend, adminCall(), kind("services"), {
      ...{ body: documentBody(next), subresource: "", typed: false },
    }),
    "permissionDenied",
    'services "a" is forbidden: exceeded quota: q, requested: services.nodeports=1, used: ' +
      "services.nodeports=0, limited: services.nodeports=0",
  );
  await fails(
    make(w.backend, service("b")),
    "permissionDenied",
    'services "b" is forbidden: exceeded quota: q, requested: services=1, used: services=1, ' +
      "limited: services=1",
  );
});

test("a quota with scopes counts the pods of those scopes alone", async () => {
  await using w = await world();
  await withQuota(w, quota({ pods: "1" }, { scopes: ["BestEffort"] }));
  await make(w.backend, sized("a", { cpu: "1" }));
  await make(w.backend, pod("b"));
  const error = await failure(make(w.backend, pod("c")));
  assert.match(
    error.message,
    /exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1/,
  );
});

test("ended pods are free of charge", async () => {
  await using w = await world();
  await withQuota(w, quota({ pods: "1" }));
  const made = await make(w.backend, pod("a"));
  await w.backend.cache.waitFor(made.revision);
  const ended = { ...made.copy(), status: { phase: "Succeeded" } };
  const after = await update(w.backend, adminCall(), kind("pods"), {
    ...{ body: documentBody(ended), subresource: "status", typed: false },
  });
  await w.backend.cache.waitFor(after.revision);
  await make(w.backend, pod("b"));
});

test("a quota is exact under concurrent creates on two masters", async () => {
  await using w = await world();
  await withQuota(w, quota({ configmaps: "10" }));
  const second = await w.another();
  await eventually("the quota", () => second.cache.of(kind("resourcequotas")).size === 1);
  const backends = [w.backend, second];
  const results = await Promise.allSettled(
    Array.from({ length: 40 }, (_, index) => {
      const backend = backends[index % backends.length] ?? w.backend;
      return make(backend, configMap(`m${index}`));
    }),
  );
  const refused = results.flatMap((result) =>
    result.status === "rejected" ? [result.reason] : [],
  );
  assert.equal(results.length - refused.length, 10);
  for (const error of refused) {
    assert.match(
      String(error.message),
      /exceeded quota: q, requested: configmaps=1, used: configmaps=10, limited: configmaps=10$/,
    );
  }
  assert.deepEqual(await used(w), { configmaps: "10" });
});

test("every create within a quota succeeds, however many there are at once", async () => {
  await using w = await world();
  await withQuota(w, quota({ configmaps: "60" }));
  const second = await w.another();
  await eventually("the quota", () => second.cache.of(kind("resourcequotas")).size === 1);
  const backends = [w.backend, second];
  await Promise.all(
    Array.from({ length: 60 }, (_, index) =>
      make(backends[index % backends.length] ?? w.backend, configMap(`m${index}`)),
    ),
  );
  assert.deepEqual(await used(w), { configmaps: "60" });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod, ResourceQuota } from "../../proto/gen/core.ts";
import { resourceQuotaController } from "../../services/controllers/resource-quota/controller.ts";
import {
  changesUsage,
  millisToFree,
  statusOfQuota,
} from "../../services/controllers/resource-quota/plan.ts";
import type { RealApi } from "../client/real-api.ts";
import { harness, putPod } from "./harness.ts";

const quota = (hard: Record<string, string>, status?: ResourceQuota["status"]): ResourceQuota => ({
  metadata: { name: "q", namespace: "default" },
  spec: { hard },
  ...(status && { status }),
});
const used = (api: RealApi) => api.get("ResourceQuota", "default/q")?.status?.used;
const pod = (name: string, cpu: string): Pod => ({
  metadata: { name, namespace: "default" },
  spec: { containers: [{ name: "c", resources: { requests: { cpu } } }] },
});

test("what is freed is there again: a deleted pod, an ended one, a smaller service", async () => {
  const { api, client, clock, end } = await harness(resourceQuotaController(1));
  const hard = { pods: "3", "requests.cpu": "1", "services.nodeports": "2", configmaps: "9" };
  await client.resourceQuotas.create(quota(hard));
  await putPod(client, pod("a", "250m"));
  await putPod(client, pod("b", "500m"));
  await client.services.create({
    metadata: { name: "s", namespace: "default" },
    spec: { type: "NodePort", ports: [{ port: 80 }] },
  });
  await clock.advance(1_000);
  const before = { pods: "2", "requests.cpu": "750m", "services.nodeports": "1", configmaps: "0" };
  assert.deepEqual(used(api), before);
  await client.pods.delete("a", "default", { gracePeriodSeconds: 0 });
  await clock.advance(1_000);
  assert.deepEqual(used(api), { ...before, pods: "1", "requests.cpu": "500m" });
  await api.change("Pod", "default/b", (each) => {
    each.status = { phase: "Succeeded" };
  });
  await api.change("Service", "default/s", (each) => {
    each.spec!.type = "ClusterIP";
    for (const port of each.spec!.ports!) delete port.nodePort;
  });
  await clock.advance(1_000);
  const none = { pods: "0", "requests.cpu": "0", "services.nodeports": "0", configmaps: "0" };
  assert.deepEqual(used(api), none);
  await end();
});

test("objects of any kind are recounted, also of kinds known at run time only", async () => {
  const { api, client, clock, end } = await harness(resourceQuotaController(1));
  api.serve({ apiVersion: "farm.example.com/v1", kind: "Cow", plural: "cows", namespaced: true });
  await client.resourceQuotas.create(
    quota({ "count/cows.farm.example.com": "5", "count/secrets": "5", "count/jobs.batch": "1" }),
  );
  await client.secrets.create({ metadata: { name: "s", namespace: "default" } });
  const ref = { apiVersion: "farm.example.com/v1", kind: "Cow", resource: "cows" };
  for (const name of ["elsa", "rosa"]) {
    await client.dynamic.create({
      apiVersion: ref.apiVersion,
      kind: "Cow",
      metadata: { name, namespace: "default" },
    });
  }
  await clock.advance(2_000);
  const counted = (cows: string, secrets: string) => ({
    "count/cows.farm.example.com": cows,
    "count/secrets": secrets,
    "count/jobs.batch": "0",
  });
  assert.deepEqual(used(api), counted("2", "1"));
  await client.dynamic.delete(ref, "rosa", "default");
  await client.secrets.delete("s", "default");
  await clock.until(() => used(api)?.["count/secrets"] === "0", "the secret is recounted");
  await clock.until(() => used(api)?.["count/cows.farm.example.com"] === "1", "the cow is");
  await end();
});

test("a status that somebody else has written is put right", async () => {
  const { api, client, clock, end } = await harness(resourceQuotaController(1));
  await client.resourceQuotas.create(quota({ pods: "3" }));
  await clock.advance(500);
  await api.change("ResourceQuota", "default/q", (each) => {
    each.status = { hard: { pods: "7" }, used: { pods: "6" } };
  });
  await clock.advance(1_000);
  assert.deepEqual(api.get("ResourceQuota", "default/q")?.status, {
    hard: { pods: "3" },
    used: { pods: "0" },
  });
  await end();
});

const plans: readonly [string, ResourceQuota, object[] | undefined, object | undefined][] = [
  ["a new quota", quota({ pods: "1" }), [], { hard: { pods: "1" }, used: { pods: "0" } }],
  [
    "nothing to say",
    quota({ pods: "1" }, { hard: { pods: "1" }, used: { pods: "0" } }),
    [],
    undefined,
  ],
  [
    "the same amount in other words",
    quota({ pods: "1" }, { hard: { pods: "1000m" }, used: { pods: "0" } }),
    [],
    undefined,
  ],
  [
    "a bound that was moved",
    quota({ pods: "2" }, { hard: { pods: "1" }, used: { pods: "1" } }),
    [pod("a", "1")],
    { hard: { pods: "2" }, used: { pods: "1" } },
  ],
  [
    "a bound that was taken away",
    quota({ pods: "2" }, { hard: { pods: "2", cpu: "1" }, used: { pods: "0", cpu: "0" } }),
    [],
    { hard: { pods: "2" }, used: { pods: "0" } },
  ],
  [
    "more than is allowed, since the quota came later",
    quota({ pods: "1" }),
    [pod("a", "1"), pod("b", "1")],
    { hard: { pods: "1" }, used: { pods: "2" } },
  ],
  [
    "objects that are not known keep their count",
    quota({ pods: "2" }, { hard: { pods: "1" }, used: { pods: "1" } }),
    undefined,
    { hard: { pods: "2" }, used: { pods: "1" } },
  ],
];
for (const [title, given, objects, expected] of plans) {
  test(`plan: ${title}`, () => {
    assert.deepEqual(
      statusOfQuota(given, () => objects, 0),
      expected,
    );
  });
}

const updates: readonly [string, Pod, boolean][] = [
  ["nothing", pod("a", "1"), false],
  ["its phase, still running", { ...pod("a", "1"), status: { phase: "Running" } }, false],
  ["its end", { ...pod("a", "1"), status: { phase: "Failed" } }, true],
  ["its requests", pod("a", "2"), true],
  [
    "its deadline",
    { ...pod("a", "1"), spec: { ...pod("a", "1").spec, activeDeadlineSeconds: 5 } },
    true,
  ],
  ["its labels", { ...pod("a", "1"), metadata: { name: "a", labels: { x: "y" } } }, false],
];
for (const [title, next, expected] of updates) {
  test(`recount after a change of a pod: ${title}`, () => {
    assert.equal(changesUsage(pod("a", "1"), next), expected);
  });
}

const now = Date.parse("2026-03-01T12:00:00Z");
const going = (name: string, seconds: number, grace: number): Pod => ({
  ...pod(name, "1"),
  metadata: {
    name,
    deletionTimestamp: new Date(now + seconds * 1_000).toISOString(),
    deletionGracePeriodSeconds: grace,
  },
});
const waits: readonly [string, Pod[], number | undefined][] = [
  ["nothing goes", [pod("a", "1")], undefined],
  ["one goes", [going("a", 5, 30)], 35_001],
  ["the first of two", [going("a", 5, 30), going("b", 5, 10)], 15_001],
  ["one that is free already", [going("a", -50, 30)], undefined],
  ["one that has ended", [{ ...going("a", 5, 30), status: { phase: "Failed" } }], undefined],
];
for (const [title, pods, expected] of waits) {
  test(`recount when a pod should be gone: ${title}`, () => {
    assert.equal(millisToFree(pods, now), expected);
  });
}

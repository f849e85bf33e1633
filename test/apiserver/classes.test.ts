/** Priority and runtime classes, and what the pods that name them get. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../proto/gen/core.ts";
import { create, documentBody, get, remove } from "../../services/apiserver/verbs/mod.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { eventually } from "../patience.ts";
import { adminCall, fails, kind, make, pod, type World, world } from "./harness.ts";

const specOf = (document: object) => (document as Pod).spec ?? {};

const priorityClass = (name: string, fields: object) => ({
  apiVersion: "scheduling.k8s.io/v1",
  kind: "PriorityClass",
  metadata: { name },
  ...fields,
});
const runtimeClass = (name: string, fields: object = {}) => ({
  apiVersion: "node.k8s.io/v1",
  kind: "RuntimeClass",
  metadata: { name },
  handler: "h",
  ...fields,
});

async function seen(w: World, made: { key: string }, name: string): Promise<void> {
  await eventually(
    `${name} cached`,
    () => w.backend.cache.of(kind(name)).get(made.key) !== undefined,
  );
}

test("a new cluster has the classes of the system, which stay", async () => {
  await using w = await world();
  for (const name of ["system-node-critical", "system-cluster-critical"]) {
    await fails(
      remove(w.backend, adminCall(), kind("priorityclasses"), { name }),
      "permissionDenied",
      `priorityclasses.scheduling.k8s.io "${name}" is forbidden: this is a system priority class ` +
        "and cannot be deleted",
    );
  }
});

test("a new cluster shows the range of its services", async () => {
  await using w = await world({ serviceRange: "127.40.0.0/16" });
  const found = await get(w.backend, adminCall(), kind("servicecidrs"), { name: "kubernetes" });
  assert.deepEqual(found.document["spec"], { cidrs: ["127.40.0.0/16"] });
});

test("pods get the value and the policy of their class, or of the default one", async () => {
  await using w = await world();
  const high = { value: 7, preemptionPolicy: "Never" };
  // Used at once: the plugin asks the store for what the cache has not seen yet.
  await make(w.backend, priorityClass("high", high));
  const named = await make(w.backend, pod("a", {}, { priorityClassName: "high" }));
  assert.deepEqual(
    [specOf(named.document).priority, specOf(named.document).preemptionPolicy],
    [7, "Never"],
  );
  const plain = specOf((await make(w.backend, pod("b"))).document);
  assert.deepEqual(
    [plain.priority, plain.preemptionPolicy, plain.priorityClassName],
    [0, "PreemptLowerPriority", undefined],
  );
  const usual = await make(w.backend, priorityClass("usual", { value: 3, globalDefault: true }));
  await seen(w, usual, "priorityclasses");
  const third = specOf((await make(w.backend, pod("c"))).document);
  assert.deepEqual([third.priority, third.priorityClassName], [3, "usual"]);
  await fails(
    make(
      w.backend,
      pod("d", {}, { priorityClassName: "high", preemptionPolicy: "PreemptLowerPriority" }),
    ),
    "permissionDenied",
    'pods "d" is forbidden: the string value of PreemptionPolicy (PreemptLowerPriority) must not ' +
      "be provided in pod spec; priority admission controller computed Never from the given " +
      "PriorityClass name",
  );
});

test("only one class is the default", async () => {
  await using w = await world();
  const first = await make(w.backend, priorityClass("one", { value: 1, globalDefault: true }));
  await seen(w, first, "priorityclasses");
  await fails(
    make(w.backend, priorityClass("two", { value: 2, globalDefault: true })),
    "permissionDenied",
    'priorityclasses.scheduling.k8s.io "two" is forbidden: PriorityClass one is already marked as ' +
      "default. Only one default can exist",
  );
});

test("pods get the overhead, the node selector and the tolerations of their runtime", async () => {
  await using w = await world();
  const toleration = { key: "sandbox", operator: "Exists", effect: "NoSchedule" };
  await make(
    w.backend,
    runtimeClass("box", {
      overhead: { podFixed: { cpu: "250m" } },
      scheduling: { nodeSelector: { runtime: "box" }, tolerations: [toleration] },
    }),
  );
  const spec = { runtimeClassName: "box", nodeSelector: { disk: "ssd" } };
  const made = specOf((await make(w.backend, pod("a", {}, spec))).document);
  assert.deepEqual(made.overhead, { cpu: "250m" });
  assert.deepEqual(made.nodeSelector, { disk: "ssd", runtime: "box" });
  assert.deepEqual(made.tolerations, [toleration]);
  const covered = { runtimeClassName: "box", tolerations: [{ operator: "Exists" }] };
  const wide = specOf((await make(w.backend, pod("b", {}, covered))).document);
  assert.deepEqual(wide.tolerations, [{ operator: "Exists" }]);

  const refused = (fields: object, why: string) =>
    fails(
      make(w.backend, pod("c", {}, fields)),
      "permissionDenied",
      `pods "c" is forbidden: ${why}`,
    );
  await refused(
    { runtimeClassName: "box", nodeSelector: { runtime: "plain" } },
    "conflict: runtimeClass.scheduling.nodeSelector[runtime] = box; " +
      "pod.spec.nodeSelector[runtime] = plain",
  );
  await refused(
    { runtimeClassName: "box", overhead: { cpu: "1" } },
    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
  );
  await refused(
    { overhead: { cpu: "1" } },
    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
  );
});

test("a pod that names a runtime is warned that no kubelet has it", async () => {
  await using w = await world();
  await make(w.backend, runtimeClass("box"));
  const call = adminCall();
  await make(w.backend, pod("a", {}, { runtimeClassName: "box" }), call);
  assert.match(call.warnings.join(), /^spec\.runtimeClassName: the kubelet refuses it/);
});

test("ingresses without a class get the default one, of several the newest", async () => {
  await using w = await world();
  const ingressClass = async (name: string, isDefault: boolean) => {
    const made = await make(w.backend, {
      apiVersion: "networking.k8s.io/v1",
      kind: "IngressClass",
      metadata: {
        name,
        annotations: { "ingressclass.kubernetes.io/is-default-class": String(isDefault) },
      },
      spec: { controller: "example.com/ingress" },
    });
    await seen(w, made, "ingressclasses");
  };
  let told: string[] = [];
  const classOf = async (name: string, spec: object = {}, annotations: object = {}) => {
    const document: Document = {
      apiVersion: "networking.k8s.io/v1",
      kind: "Ingress",
      metadata: { name, namespace: "default", annotations: { ...annotations } },
      spec: { defaultBackend: { service: { name: "s", port: { number: 80 } } }, ...spec },
    };
    told = [];
    const call = adminCall({ warnings: told });
    await create(w.backend, call, kind("ingresses"), { body: documentBody(document) });
    return (document["spec"] as { ingressClassName?: string }).ingressClassName;
  };
  await ingressClass("other", false);
  assert.equal(await classOf("a"), undefined);
  const noEffect = "without an ingress controller the object has no effect";
  assert.deepEqual(told, [`spec.ingressClassName: there is no default class, ${noEffect}`]);
  await ingressClass("usual", true);
  assert.equal(await classOf("b"), "usual");
  assert.deepEqual(told, []);
  assert.equal(await classOf("c", { ingressClassName: "other" }), "other");
  assert.equal(await classOf("d", {}, { "kubernetes.io/ingress.class": "old" }), undefined);
  assert.deepEqual(told, [`spec.ingressClassName: there is no class "old", ${noEffect}`]);
});

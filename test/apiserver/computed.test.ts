/** Resources whose objects follow from the state of the cluster, and events under both names. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { APIService } from "../../proto/gen/apiregistration.ts";
import type { ComponentStatus } from "../../proto/gen/core.ts";
import { create, documentBody, get, list } from "../../services/apiserver/verbs/mod.ts";
import { builtInRegistry, type Document } from "../../services/kinds/mod.ts";
import { eventually } from "../patience.ts";
import { adminCall, fails, kind, make, world } from "./harness.ts";

const registry = builtInRegistry();
const resource = (apiVersion: string, name: string) => registry.required(apiVersion, name);

test("every served group and version has an API service, which is local", async () => {
  await using w = await world();
  const services = kind("apiservices");
  const { items } = await list(w.backend, adminCall(), services, {});
  const all = items.map(({ document }) => document as APIService);
  const names = all.map(({ metadata }) => metadata?.name ?? "");
  assert.deepEqual(names, [...names].sort());
  assert.ok(
    names.includes("v1.") && names.includes("v1.apps") && names.includes("v1.events.k8s.io"),
  );
  for (const one of all) {
    const [condition] = one.status?.conditions ?? [];
    assert.deepEqual([condition?.type, condition?.status], ["Available", "True"]);
  }
  const found = await get(w.backend, adminCall(), services, { name: "v1.apps" });
  const { group, groupPriorityMinimum, versionPriority } =
    (found.document as APIService).spec ?? {};
  assert.deepEqual([group, groupPriorityMinimum, versionPriority], ["apps", 17_800, 15]);
  const cells = services.columns.map(({ value }) => value(found.document, Date.now()));
  assert.deepEqual(cells.slice(0, 3), ["v1.apps", "Local", "True"]);
  await fails(
    get(w.backend, adminCall(), services, { name: "v9.apps" }),
    "notFound",
    'apiservices.apiregistration.k8s.io "v9.apps" not found',
  );
});

test("an API service of one's own is refused in words", async () => {
  await using w = await world();
  const own = (spec: object) => ({
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: { name: "v1.metrics.example.com" },
    spec: {
      ...{ group: "metrics.example.com", version: "v1" },
      ...{ groupPriorityMinimum: 100, versionPriority: 100, ...spec },
    },
  });
  await fails(
    make(w.backend, own({ service: { name: "a", namespace: "b" } })),
    "invalidArgument",
    'APIService.apiregistration.k8s.io "v1.metrics.example.com" is invalid: spec.service: ' +
      "Forbidden: this apiserver serves every group itself and passes no requests on to a service",
  );
  const is = 'APIService.apiregistration.k8s.io "v1.metrics.example.com" is invalid: ';
  const rows: [object, string][] = [
    [
      { service: {} },
      `${is}[spec.service.namespace: Required value, spec.service.name: Required value]`,
    ],
    [
      { service: { name: "a", namespace: "b", port: 0 } },
      `${is}spec.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, ` +
        "inclusive",
    ],
    [
      { insecureSkipTLSVerify: true },
      `${is}spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have ` +
        "insecureSkipTLSVerify",
    ],
    [
      { caBundle: "YQ==" },
      `${is}spec.caBundle: Invalid value: "1 bytes": local APIServices may not have a caBundle`,
    ],
  ];
  for (const [spec, words] of rows) {
    await fails(make(w.backend, own(spec)), "invalidArgument", words);
  }
  await fails(
    make(w.backend, own({})),
    "permissionDenied",
    'apiservices.apiregistration.k8s.io "v1.metrics.example.com" is forbidden: API services ' +
      "follow from the kinds that are served, none can be added",
  );
  await fails(
    make(w.backend, own({ versionPriority: 0, version: "v2" })),
    "invalidArgument",
    /metadata\.name: Invalid value: .*spec\.versionPriority: Invalid value: 0: must be positive/,
  );
});

test("the parts of the control plane are well while they hold their leases", async () => {
  await using w = await world();
  const statuses = async () => {
    const { items } = await list(w.backend, adminCall(), kind("componentstatuses"), {});
    return Object.fromEntries(
      items.map(({ name, document }) => [name, (document as ComponentStatus).conditions?.[0]]),
    );
  };
  const first = await statuses();
  assert.deepEqual(first["etcd-0"], { type: "Healthy", status: "True", message: "ok" });
  assert.deepEqual(first["scheduler"], {
    ...{ type: "Healthy", status: "False" },
    error: "the lease kube-system/kube-scheduler is not held",
  });
  const lease = (name: string, renewTime: string) =>
    make(w.backend, {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name, namespace: "kube-system" },
      spec: { holderIdentity: "a", leaseDurationSeconds: 15, renewTime },
    });
  await lease("kube-scheduler", new Date().toISOString());
  const late = await lease("kube-controller-manager", "2020-01-01T00:00:00.000000Z");
  await eventually(
    "the leases",
    () => w.backend.cache.of(kind("leases")).get(late.key) !== undefined,
  );
  const second = await statuses();
  assert.equal(second["scheduler"]?.status, "True");
  assert.match(second["controller-manager"]?.error ?? "", /was last renewed at 2020/);
});

test("an event is one object under both versions", async () => {
  await using w = await world();
  const newer = resource("events.k8s.io/v1", "Event");
  const older = resource("v1", "Event");
  const document: Document = {
    metadata: { name: "e", namespace: "default" },
    eventTime: "2026-01-01T00:00:00.000000Z",
    ...{ reportingController: "example.com/r", reportingInstance: "r-0" },
    ...{ action: "Bind", reason: "Bound", note: "bound", type: "Normal" },
    regarding: { kind: "Pod", namespace: "default", name: "p" },
  };
  const body = documentBody(document);
  const made = await create(w.backend, adminCall(), newer, { body });
  assert.equal(made.document["note"], "bound");
  const at = { namespace: "default" };
  const asOlder = await get(w.backend, adminCall(), older, { ...at, name: "e" });
  assert.equal(asOlder.document.apiVersion, "v1");
  assert.equal(asOlder.document["message"], "bound");
  const selected = async (name: string) => {
    const fieldSelector = `regarding.name=${name}`;
    return (await list(w.backend, adminCall(), newer, { ...at, fieldSelector })).items.length;
  };
  assert.deepEqual([await selected("p"), await selected("q")], [1, 0]);
});

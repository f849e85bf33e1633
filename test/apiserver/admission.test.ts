import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../proto/gen/core.ts";
import { documentBody } from "../../services/apiserver/verbs/body.ts";
import { update } from "../../services/apiserver/verbs/mod.ts";
import { adminCall, fails, kind, make, pod, service, world } from "./harness.ts";

const priorityOf = (document: object) => (document as Pod).spec?.priority;

test("a pod's priority is that of its class", async () => {
  await using w = await world();
  const plain = await make(w.backend, pod("plain"));
  assert.equal(priorityOf(plain.document), 0);
  const critical = { priorityClassName: "system-node-critical" };
  const stored = await make(w.backend, pod("critical", {}, critical));
  assert.equal(priorityOf(stored.document), 2_000_001_000);
  const same = { priorityClassName: "system-cluster-critical", priority: 2_000_000_000 };
  await make(w.backend, pod("same", {}, same));
});

test("an update that leaves the priority out keeps it", async () => {
  await using w = await world();
  const stored = await make(w.backend, pod("p", {}, { priorityClassName: "system-node-critical" }));
  const document = stored.copy();
  delete (document as Pod).spec?.priority;
  document.metadata = { ...document.metadata, labels: { a: "b" } };
  const body = documentBody(document);
  const write = { body, subresource: "" as const, typed: false };
  const updated = await update(w.backend, adminCall(), kind("pods"), write);
  assert.equal(priorityOf(updated.document), 2_000_001_000);
});

test("unknown classes, and a priority of one's own, are refused in upstream's words", async () => {
  await using w = await world();
  const refused = (spec: object, words: string) =>
    fails(
      make(w.backend, pod("p", {}, spec)),
      "permissionDenied",
      `pods "p" is forbidden: ${words}`,
    );
  await refused({ priorityClassName: "high" }, "no PriorityClass with name high was found");
  await refused(
    { priority: 5 },
    "the integer value of priority (5) must not be provided in pod spec; priority admission " +
      "controller computed 0 from the given PriorityClass name",
  );
  await refused({ runtimeClassName: "gvisor" }, 'pod rejected: RuntimeClass "gvisor" not found');
});

test("a Lease is updated only by its resourceVersion", async () => {
  await using w = await world();
  const lease = {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name: "l", namespace: "default" },
    spec: { holderIdentity: "a" },
  };
  const stored = await make(w.backend, lease);
  const write = (metadata: object) => {
    const body = documentBody({ ...lease, metadata: { ...lease.metadata, ...metadata } });
    const request = { body, subresource: "" as const, typed: false };
    return update(w.backend, adminCall(), kind("leases"), request);
  };
  await fails(
    write({}),
    "invalidArgument",
    'leases.coordination.k8s.io "l" is invalid: metadata.resourceVersion: Invalid value: 0: ' +
      "must be specified for an update",
  );
  await write({ resourceVersion: String(stored.revision) });
});

test("address families that the cluster has not are refused, a mismatch is told once", async () => {
  await using w = await world();
  const refused = (spec: object, words: string) =>
    fails(
      make(w.backend, service("s", spec)),
      "invalidArgument",
      `Service "s" is invalid: ${words}`,
    );
  await refused(
    { ipFamilyPolicy: "RequireDualStack" },
    'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for ' +
      "dual-stack services",
  );
  await refused(
    { ipFamilies: ["IPv6"] },
    'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
  );
  await refused(
    { clusterIP: "127.32.0.5", clusterIPs: ["127.32.0.6"] },
    'spec.clusterIPs: Invalid value: ["127.32.0.6"]: first value must match `clusterIP`',
  );
});

test("the status of an object that an older release accepted can still be written", async () => {
  await using w = await world();
  const made = await make(w.backend, pod("p"));
  const old = made.copy() as Pod;
  old.spec!.os = { name: "windows" };
  const value = Buffer.from(JSON.stringify(old));
  const put = { op: "put", key: Buffer.from(made.key), value } as const;
  const { revision } = await w.store.txn({ compares: [], success: [put], failure: [] });
  await w.backend.cache.waitFor(revision);
  const next = { ...made.copy(), status: { phase: "Running" } };
  delete next.metadata?.resourceVersion;
  const body = documentBody(next);
  const status = { body, subresource: "status" as const, typed: false };
  const written = await update(w.backend, adminCall(), kind("pods"), status);
  assert.equal((written.document as Pod).status?.phase, "Running");
  await fails(
    update(w.backend, adminCall(), kind("pods"), { ...status, subresource: "" }),
    "invalidArgument",
    /spec/,
  );
});

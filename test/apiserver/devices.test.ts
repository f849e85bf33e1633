/** What a cluster asks of claims to devices beyond what each of them asks itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { get } from "../../services/apiserver/verbs/mod.ts";
import { adminCall, fails, kind, make, world } from "./harness.ts";

const devices = (adminAccess: boolean) => ({
  requests: [{ name: "gpu", exactly: { deviceClassName: "gpu.example.com", adminAccess } }],
});
const claim = (name: string, adminAccess: boolean, namespace = "default") => ({
  apiVersion: "resource.k8s.io/v1",
  kind: "ResourceClaim",
  metadata: { name, namespace },
  spec: { devices: devices(adminAccess) },
});

test("access to devices in use is asked for only where the namespace allows it", async () => {
  await using w = await world();
  const why =
    "spec.devices.requests[0].adminAccess: Forbidden: admin access to devices requires the " +
    "`resource.kubernetes.io/admin-access: true` label on the containing namespace";
  await make(w.backend, claim("plain", false));
  const refusal = 'ResourceClaim.resource.k8s.io "a" is invalid: ';
  await fails(make(w.backend, claim("a", true)), "invalidArgument", refusal + why);
  const template = {
    ...claim("a", true),
    kind: "ResourceClaimTemplate",
    spec: { spec: { devices: devices(true) } },
  };
  await fails(
    make(w.backend, template),
    "invalidArgument",
    `ResourceClaimTemplate.resource.k8s.io "a" is invalid: ${why}`,
  );
  await make(w.backend, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "operators", labels: { "resource.kubernetes.io/admin-access": "true" } },
  });
  await make(w.backend, claim("a", true, "operators"));
});

test("a new cluster says since when it tracks tokens in Secrets", async () => {
  await using w = await world();
  const found = await get(w.backend, adminCall(), kind("configmaps"), {
    namespace: "kube-system",
    name: "kube-apiserver-legacy-service-account-token-tracking",
  });
  const { since } = found.document["data"] as { since: string };
  assert.match(since, /^\d{4}-\d\d-\d\d$/);
});

/** The resize of a pod, by its subresource. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodSpec, ResourceQuota } from "../../proto/gen/core.ts";
import { get } from "../../services/apiserver/verbs/mod.ts";
import { patchPart } from "../../services/apiserver/verbs/part.ts";
import { resizePart } from "../../services/kinds/mod.ts";
import { adminCall, fails, kind, make, pod, world } from "./harness.ts";

test("a resize is patched in, counted as a change of the spec, and checked", async () => {
  await using w = await world();
  const document = pod("web");
  const spec = document["spec"] as PodSpec;
  const [container] = spec.containers ?? [];
  assert.ok(container !== undefined);
  container.resources = { requests: { cpu: "1" } };
  const made = await make(w.backend, document);
  const resize = (resources: object) => {
    const containers = [{ name: container.name, image: "ignored", resources }];
    return patchPart(w.backend, adminCall(), kind("pods"), resizePart, {
      name: "web",
      namespace: "default",
      patchType: "application/strategic-merge-patch+json",
      patch: Buffer.from(JSON.stringify({ spec: { containers } })),
    });
  };
  const changed = await resize({ requests: { cpu: "1500m" } });
  const [next] = (changed.document["spec"] as PodSpec).containers ?? [];
  assert.deepEqual(next?.resources, { requests: { cpu: "1500m" } });
  assert.equal(next?.image, container.image);
  assert.equal(
    changed.document.metadata?.generation,
    (made.document.metadata?.generation ?? 0) + 1,
  );
  await fails(
    resize({ requests: { cpu: null } }),
    "invalidArgument",
    /Pod QOS Class may not change as a result of resizing.*resource requests cannot be removed/,
  );
});

test("a resize is charged to quotas and held to limit ranges", async () => {
  await using w = await world();
  const document = pod("web");
  const spec = document["spec"] as PodSpec;
  const [container] = spec.containers ?? [];
  assert.ok(container !== undefined);
  container.resources = { requests: { cpu: "1" }, limits: { cpu: "2" } };
  await make(w.backend, document);
  for (const { kind: name, spec: bounds } of [
    { kind: "ResourceQuota", spec: { hard: { "requests.cpu": "2" } } },
    { kind: "LimitRange", spec: { limits: [{ type: "Container", max: { cpu: "3" } }] } },
  ]) {
    const metadata = { name: "bounds", namespace: "default" };
    const made = await make(w.backend, { apiVersion: "v1", kind: name, metadata, spec: bounds });
    await w.backend.cache.waitFor(made.revision);
  }
  const resize = (requests: string, limits: string) => {
    const resources = { requests: { cpu: requests }, limits: { cpu: limits } };
    return patchPart(w.backend, adminCall(), kind("pods"), resizePart, {
      name: "web",
      namespace: "default",
      patchType: "application/strategic-merge-patch+json",
      patch: Buffer.from(
        JSON.stringify({ spec: { containers: [{ name: container.name, resources }] } }),
      ),
    });
  };
  await fails(
    resize("2500m", "3"),
    "permissionDenied",
    'pods "web" is forbidden: exceeded quota: bounds, requested: requests.cpu=1500m, ' +
      "used: requests.cpu=1, limited: requests.cpu=2",
  );
  await fails(
    resize("1", "4"),
    "permissionDenied",
    'pods "web" is forbidden: maximum cpu usage per Container is 3, but limit is 4',
  );
  await resize("1500m", "3");
  const request = { name: "bounds", namespace: "default" };
  const quota = await get(w.backend, adminCall(), kind("resourcequotas"), request);
  assert.deepEqual((quota.document as ResourceQuota).status?.used, { "requests.cpu": "1500m" });
});

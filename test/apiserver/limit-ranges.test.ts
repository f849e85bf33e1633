/** Limit ranges and the default storage class. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolumeClaim, Pod } from "../../proto/gen/core.ts";
import { adminCall, fails, make, pod, type World, world } from "./harness.ts";

async function withRange(w: World, ...limits: object[]): Promise<void> {
  const made = await make(w.backend, {
    apiVersion: "v1",
    kind: "LimitRange",
    metadata: { name: "r", namespace: "default" },
    spec: { limits },
  });
  await w.backend.cache.waitFor(made.revision);
}

const sized = (resources: object, extra: object = {}) =>
  pod("p", {}, { containers: [{ name: "main", image: "busybox", resources }], ...extra });
const claim = (storage: string) => ({
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  metadata: { name: "c", namespace: "default" },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage } } },
});

test("containers get what they leave out, and the pod says so", async () => {
  await using w = await world();
  await withRange(w, {
    type: "Container",
    default: { cpu: "1", memory: "1Gi" },
    defaultRequest: { cpu: "500m" },
  });
  const call = adminCall();
  const made = await make(w.backend, sized({ limits: { memory: "2Gi" } }), call);
  const { spec, metadata } = made.document as Pod;
  assert.deepEqual(spec?.containers?.[0]?.resources, {
    requests: { cpu: "500m", memory: "2Gi" },
    limits: { cpu: "1", memory: "2Gi" },
  });
  assert.equal(
    metadata?.annotations?.["kubernetes.io/limit-ranger"],
    "LimitRanger plugin set: cpu request for container main; cpu limit for container main",
  );
});

test("what is out of range is refused in upstream's words", async () => {
  await using w = await world();
  await withRange(
    w,
    {
      type: "Container",
      min: { cpu: "100m" },
      max: { cpu: "2" },
      maxLimitRequestRatio: { cpu: "4" },
    },
    { type: "Pod", max: { memory: "1Gi" } },
    { type: "PersistentVolumeClaim", min: { storage: "1Gi" }, max: { storage: "2Gi" } },
  );
  const memory = { memory: "1Gi" };
  const refused = (document: ReturnType<typeof pod>, why: string) =>
    fails(make(w.backend, document), "permissionDenied", `pods "p" is forbidden: ${why}`);
  await make(w.backend, {
    ...sized({ limits: { cpu: "1", ...memory } }),
    metadata: { name: "fits", namespace: "default" },
  });
  await refused(
    sized({ requests: { cpu: "50m" }, limits: { cpu: "200m", ...memory } }),
    "minimum cpu usage per Container is 100m, but request is 50m",
  );
  await refused(
    sized({ requests: { cpu: "1" }, limits: { cpu: "3", ...memory } }),
    "maximum cpu usage per Container is 2, but limit is 3",
  );
  await refused(
    sized({ requests: { cpu: "100m" }, limits: { cpu: "500m", ...memory } }),
    "cpu max limit to request ratio per Container is 4, but provided ratio is 5.000000",
  );
  // Containers without a limit get the maximum, as the defaults of a LimitRange say.
  const silent = { ...sized({ limits: memory }), metadata: { name: "q", namespace: "default" } };
  const given = (await make(w.backend, silent)).document as Pod;
  assert.equal(given.spec?.containers?.[0]?.resources?.limits?.["cpu"], "2");
  await refused(
    sized({ requests: { cpu: "1" }, limits: { cpu: "3", memory: "2Gi" } }),
    "[maximum cpu usage per Container is 2, but limit is 3, maximum memory usage per Pod is 1Gi, " +
      "but limit is 2Gi]",
  );
  await refused(
    sized({ limits: { cpu: "1", memory: "2Gi" } }),
    "maximum memory usage per Pod is 1Gi, but limit is 2Gi",
  );
  await fails(
    make(w.backend, claim("3Gi")),
    "permissionDenied",
    'persistentvolumeclaims "c" is forbidden: maximum storage usage per PersistentVolumeClaim is ' +
      "2Gi, but request is 3Gi",
  );
  await make(w.backend, claim("2Gi"));
});

test("a claim without a class gets the default one", async () => {
  await using w = await world();
  const made = await make(w.backend, {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: {
      // Of default classes, the newest is meant, and of those the first by name.
      name: "fast",
      annotations: { "storageclass.kubernetes.io/is-default-class": "true" },
    },
    provisioner: "example.com/disk",
  });
  await w.backend.cache.waitFor(made.revision);
  const claimed = (await make(w.backend, claim("1Gi"))).document as PersistentVolumeClaim;
  assert.equal(claimed.spec?.storageClassName, "fast");
  const none = claim("1Gi");
  const own = { ...none, metadata: { ...none.metadata, name: "d" } };
  const spec = { ...none.spec, storageClassName: "" };
  const kept = (await make(w.backend, { ...own, spec })).document as PersistentVolumeClaim;
  assert.equal(kept.spec?.storageClassName, "");
});

/** The resize of a pod, by its subresource. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodSpec } from "../../proto/gen/core.ts";
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

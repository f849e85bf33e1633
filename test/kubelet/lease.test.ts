/** The node's Lease, which others than Trireme's controllers judge a node by. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Lease } from "../../proto/gen/coordination.ts";
import { NodeLease } from "../../services/kubelet/node/lease.ts";
import { quietLog } from "../apiserver/harness.ts";
import { FakeClock } from "./support.ts";

test("it is made with the node as its owner, renewed, and made again when it is gone", async () => {
  let stored: Lease | undefined;
  let version = 0;
  const write = (lease: Lease): Lease => {
    version += 1;
    stored = { ...lease, metadata: { ...lease.metadata, resourceVersion: String(version) } };
    return stored;
  };
  const refusal = (code: Code) => new StatusError(code, "no");
  const leases = {
    get: async () => {
      if (stored === undefined) throw refusal(Code.notFound);
      return stored;
    },
    create: async (lease: Lease) => write(lease),
    update: async (lease: Lease) => {
      if (stored === undefined) throw refusal(Code.notFound);
      if (lease.metadata?.resourceVersion !== stored.metadata?.resourceVersion) {
        throw new StatusError(Code.aborted, "modified", { reason: "Conflict" });
      }
      return write(lease);
    },
  };
  const clock = new FakeClock();
  const lease = new NodeLease({
    ...{ leases: leases as never, nodeName: "n1", clock, log: quietLog },
    node: () => ({ metadata: { name: "n1", uid: "u" } }),
  });
  await lease.renew();
  const { metadata, spec } = stored as unknown as Lease;
  assert.deepEqual(metadata?.ownerReferences, [
    { apiVersion: "v1", kind: "Node", name: "n1", uid: "u" },
  ]);
  assert.equal(metadata?.namespace, "kube-node-lease");
  assert.deepEqual([spec?.holderIdentity, spec?.leaseDurationSeconds], ["n1", 40]);
  await lease.renew();
  assert.equal(version, 2);
  // Another client wrote it meanwhile.
  write({ ...(stored as unknown as Lease), metadata: { ...metadata, labels: { a: "b" } } });
  await lease.renew();
  assert.deepEqual((stored as unknown as Lease).metadata?.labels, { a: "b" });
  assert.equal(version, 4);
  stored = undefined;
  await lease.renew();
  assert.equal((stored as unknown as Lease).spec?.holderIdentity, "n1");
});

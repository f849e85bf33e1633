import type { Operation } from "../../../ha/store/types.ts";
import type { Document } from "../../kinds/mod.ts";
import { fenceKey, keyBytes } from "../storage/keys.ts";
import type { AdmissionPlugin, Companions } from "./chain.ts";

/** A new holder of a Lease moves the fence, so that guarded writes of the former one are refused. */
export function leaseFence(): AdmissionPlugin {
  return {
    name: "lease-fence",
    resources: ["leases.coordination.k8s.io"],
    operations: ["create", "update"],
    companions({ document, stored }): Companions | undefined {
      const holder = holderOf(document);
      const { name, namespace } = document?.metadata ?? {};
      if (holder === "" || holder === holderOf(stored) || !name || !namespace) return undefined;
      const put: Operation = {
        op: "put",
        key: keyBytes(fenceKey(namespace, name)),
        value: Buffer.from(holder),
      };
      return { compares: [], operations: [put], reads: [] };
    },
  };
}

function holderOf(lease: Document | undefined): string {
  const spec = lease?.["spec"] as { holderIdentity?: string } | undefined;
  return spec?.holderIdentity ?? "";
}

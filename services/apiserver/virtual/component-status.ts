import type { Lease } from "../../../proto/gen/coordination.ts";
import type { ComponentCondition } from "../../../proto/gen/core.ts";
import { type Document, parseTime } from "../../kinds/mod.ts";
import { objectKey } from "../storage/keys.ts";
import type { Backend } from "../verbs/backend.ts";
import type { VirtualKind } from "../verbs/virtual-kind.ts";

/** By the component's name, in the order in which upstream lists them. */
const checks: Readonly<Record<string, (backend: Backend) => Promise<ComponentCondition>>> = {
  "controller-manager": async (backend) => leaseCheck(backend, "kube-controller-manager"),
  "etcd-0": storeCheck,
  scheduler: async (backend) => leaseCheck(backend, "kube-scheduler"),
};

/** Whether the other parts of the control plane are well; asked for by each request anew. */
export const componentStatus: VirtualKind = {
  async get(backend, _call, name) {
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined;
    return check && statusOf(name, await check(backend));
  },
  list: (backend) =>
    Promise.all(
      Object.entries(checks).map(async ([name, check]) => statusOf(name, await check(backend))),
    ),
};

function statusOf(name: string, condition: ComponentCondition): Document {
  return {
    apiVersion: "v1",
    kind: "ComponentStatus",
    metadata: { name },
    conditions: [{ type: "Healthy", ...condition }],
  };
}

/** The store serves while a leader is known. */
async function storeCheck({ store }: Backend): Promise<ComponentCondition> {
  const { leader } = await store.status();
  if (leader !== undefined) return { status: "True", message: "ok" };
  return { status: "False", error: "the store knows no leader" };
}

/** A component is well while one of its instances leads and renews its lease. */
function leaseCheck({ registry, cache, now }: Backend, name: string): ComponentCondition {
  const leases = registry.required("coordination.k8s.io/v1", "Lease");
  const found = cache.of(leases).get(objectKey(leases, "kube-system", name));
  const { renewTime, leaseDurationSeconds = 0 } =
    (found?.document as Lease | undefined)?.spec ?? {};
  const renewed = parseTime(renewTime);
  if (renewed === undefined) {
    return { status: "False", error: `the lease kube-system/${name} is not held` };
  }
  if (now() - renewed <= leaseDurationSeconds * 1_000) return { status: "True", message: "ok" };
  return {
    status: "False",
    error: `the lease kube-system/${name} was last renewed at ${renewTime}`,
  };
}

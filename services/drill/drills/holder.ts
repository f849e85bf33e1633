import { StatusError } from "../../../ha/runtime/status-error.ts";
import { apiClient } from "../pods.ts";
import { until, type World } from "../world/world.ts";

const holderMillisMax = 30_000;

/** The process that holds the lease of its kind: its identity names its pid. */
export async function holderOf(
  world: World,
  lease: string,
  role: "scheduler" | "controller-manager",
): Promise<string> {
  const client = apiClient(world);
  try {
    return await until(
      `a holder of the lease ${lease}`,
      async () => {
        const identity = await holderIdentity(client.leases.get(lease, "kube-system"));
        const holder = world.processes(role).find((each) => identity.includes(`_${each.pid()}_`));
        return holder?.name;
      },
      holderMillisMax,
    );
  } finally {
    client.close();
  }
}

async function holderIdentity(
  lease: Promise<{ readonly spec?: { readonly holderIdentity?: string | undefined } | undefined }>,
): Promise<string> {
  try {
    return (await lease).spec?.holderIdentity ?? "";
  } catch (thrown) {
    StatusError.from(thrown); // There is none yet.
    return "";
  }
}

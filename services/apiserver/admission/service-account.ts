import type { Pod } from "../../../proto/gen/core.ts";
import { forbidden } from "../errors.ts";
import type { AdmissionPlugin } from "./chain.ts";

/** Whether a service account exists, as the watch cache has it or, failing that, the store. */
export type ServiceAccountLookup = (namespace: string, name: string) => Promise<boolean>;

const defaultAccount = "default";

/**
 * A pod runs as a service account that exists (upstream's ServiceAccount). The account `default` is
 * taken for granted in every namespace: it is made together with its namespace, a moment later.
 */
export function serviceAccount(exists: ServiceAccountLookup): AdmissionPlugin {
  return {
    name: "service-account",
    resources: ["pods"],
    operations: ["create"],
    mutate({ document }) {
      const { spec } = (document ?? {}) as Pod;
      if (spec === undefined) return;
      spec.serviceAccountName ||= defaultAccount;
      // The older name of the same field (upstream keeps both equal).
      spec.serviceAccount = spec.serviceAccountName;
    },
    async validate({ resource, namespace, name, document }) {
      const account = ((document ?? {}) as Pod).spec?.serviceAccountName ?? defaultAccount;
      if (account === defaultAccount || (await exists(namespace, account))) return;
      throw forbidden(
        resource,
        name,
        `error looking up service account ${namespace}/${account}: ` +
          `serviceaccount "${account}" not found`,
      );
    },
  };
}

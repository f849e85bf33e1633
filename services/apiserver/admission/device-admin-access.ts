import type {
  DeviceRequest,
  DeviceRequestAllocationResult,
  ResourceClaim,
  ResourceClaimTemplate,
} from "../../../proto/gen/resource.ts";
import { invalid } from "../errors.ts";
import type { AdmissionPlugin } from "./chain.ts";

type Labels = Readonly<Record<string, string>> | undefined;

const label = "resource.kubernetes.io/admin-access";
const claims = "resourceclaims.resource.k8s.io";
const templates = "resourceclaimtemplates.resource.k8s.io";

/**
 * Access to devices that others use is asked for and given only where the namespace's label allows
 * it (upstream `registry/resource.AuthorizedForAdmin`).
 */
export function deviceAdminAccess(
  labelsOf: (namespace: string) => Promise<Labels>,
): AdmissionPlugin {
  return {
    name: "device-admin-access",
    resources: [claims, templates],
    operations: ["create", "update"],
    async validate({ resource, name, namespace, subresource, document, stored }) {
      const field =
        subresource === "status"
          ? givenIn(document as ResourceClaim, (stored ?? {}) as ResourceClaim)
          : stored === undefined && askedIn(document as ResourceClaim | ResourceClaimTemplate);
      if (!field || (await labelsOf(namespace))?.[label] === "true") return;
      const message =
        `Forbidden: admin access to devices requires the \`${label}: true\` label on the ` +
        "containing namespace";
      throw invalid(resource, name, [{ reason: "FieldValueForbidden", field, message }]);
    },
  };
}

/** The field of a new object that asks for it. Specs do not change. */
function askedIn({ spec = {} }: ResourceClaim | ResourceClaimTemplate): string | undefined {
  const { devices } = "spec" in spec ? (spec.spec ?? {}) : (spec as ResourceClaim["spec"] & object);
  const wants = ({ exactly }: DeviceRequest) => exactly?.adminAccess === true;
  const index = devices?.requests?.findIndex(wants) ?? -1;
  return index < 0 ? undefined : `spec.devices.requests[${index}].adminAccess`;
}

/** The field of a status that newly gives it. */
function givenIn({ status }: ResourceClaim, stored: ResourceClaim): string | undefined {
  const has = ({ adminAccess }: DeviceRequestAllocationResult) => adminAccess === true;
  if (stored.status?.allocation?.devices?.results?.some(has)) return undefined;
  const index = status?.allocation?.devices?.results?.findIndex(has) ?? -1;
  return index < 0 ? undefined : `status.allocation.devices.results[${index}].adminAccess`;
}

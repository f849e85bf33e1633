/** Which requests each of Kubernetes' signers takes (upstream `pkg/apis/certificates/helpers.go`). */
import type { CertificateRequestContent } from "../../kinds/mod.ts";
import { signers } from "./requests.ts";

/** Why the signer does not sign the request; undefined: it does. */
type Rule = (request: CertificateRequestContent, usages: readonly string[]) => string | undefined;

const nodesGroup = "system:nodes";
const nodePrefix = "system:node:";
const digitalSignature = "digital signature";
const keyEncipherment = "key encipherment";

/** By the name of the signer. */
export const signerRules: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  [signers.client, clientRefusal],
  [signers.kubeletClient, kubeletClientRefusal],
  [signers.kubeletServing, kubeletServingRefusal],
]);

function clientRefusal(
  _request: CertificateRequestContent,
  usages: readonly string[],
): string | undefined {
  const allowed = ["client auth", digitalSignature, keyEncipherment];
  const strange = usages.find((usage) => !allowed.includes(usage));
  if (strange !== undefined) return `invalid usage for client certificate: ${strange}`;
  if (usages.includes("client auth")) return undefined;
  return "missing required usage for client certificate: client auth";
}

export function kubeletClientRefusal(
  request: CertificateRequestContent,
  usages: readonly string[],
): string | undefined {
  const { names } = request;
  if (!isOfNodes(request)) return organizationRefusal;
  if (names.dns.length > 0) return "DNS subjectAltNames are not allowed";
  if (names.emails.length > 0) return "Email subjectAltNames are not allowed";
  if (names.addresses.length > 0) return "IP subjectAltNames are not allowed";
  if (names.uris.length > 0) return "URI subjectAltNames are not allowed";
  return nameRefusal(request) ?? usagesRefusal(usages, "client auth");
}

export function kubeletServingRefusal(
  request: CertificateRequestContent,
  usages: readonly string[],
): string | undefined {
  const { names } = request;
  if (!isOfNodes(request)) return organizationRefusal;
  if (names.dns.length === 0 && names.addresses.length === 0) {
    return "DNS or IP subjectAltName is required";
  }
  if (names.emails.length > 0) return "Email subjectAltNames are not allowed";
  if (names.uris.length > 0) return "URI subjectAltNames are not allowed";
  return usagesRefusal(usages, "server auth") ?? nameRefusal(request);
}

const organizationRefusal = `subject organization is not ${nodesGroup}`;

function isOfNodes({ organizations }: CertificateRequestContent): boolean {
  return organizations.length === 1 && organizations[0] === nodesGroup;
}

function nameRefusal({ commonName }: CertificateRequestContent): string | undefined {
  if (commonName.startsWith(nodePrefix)) return undefined;
  return `subject common name does not begin with ${nodePrefix}`;
}

/** Keys that cannot encipher are asked for without that usage. */
function usagesRefusal(usages: readonly string[], purpose: string): string | undefined {
  const wanted = [purpose, digitalSignature, keyEncipherment].sort();
  const given = new Set(usages);
  const matches = wanted
    .filter((usage) => usage !== keyEncipherment)
    .every((usage) => given.has(usage));
  const others = usages.some((usage) => !wanted.includes(usage));
  return matches && !others ? undefined : `usages did not match [${wanted.join(" ")}]`;
}

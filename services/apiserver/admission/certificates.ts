import type { CertificateSigningRequest } from "../../../proto/gen/certificates.ts";
import { requestedOrganizations } from "../../kinds/mod.ts";
import { type Authorizer, decide } from "../auth/authorize.ts";
import { forbidden } from "../errors.ts";
import type { AdmissionPlugin, AdmissionRequest } from "./chain.ts";

const clientSigner = "kubernetes.io/kube-apiserver-client";
const mastersGroup = "system:masters";

/**
 * Who decides about a certificate request, or signs it, needs the right to the signer's name
 * (upstream's CertificateApproval and CertificateSigning); and none asks for a certificate of
 * `system:masters` (CertificateSubjectRestriction).
 */
export function certificates(authorizers: readonly Authorizer[]): AdmissionPlugin {
  return {
    name: "certificates",
    resources: ["certificatesigningrequests.certificates.k8s.io"],
    operations: ["create", "update"],
    validate(request) {
      const { resource, name, operation, subresource, document, stored } = request;
      const { spec, status } = (document ?? {}) as CertificateSigningRequest;
      const refuse = (why: string) => forbidden(resource, name, why);
      if (operation === "create") {
        if (spec?.signerName !== clientSigner) return;
        const pem = Buffer.from(spec.request ?? "", "base64").toString("latin1");
        if (!requestedOrganizations(pem).includes(mastersGroup)) return;
        throw refuse(`use of ${clientSigner} signer with ${mastersGroup} group is not allowed`);
      }
      const before = (stored as CertificateSigningRequest | undefined) ?? {};
      const signer = before.spec?.signerName ?? "";
      const quoted = JSON.stringify(signer);
      const signs = subresource === "status" && status?.certificate !== before.status?.certificate;
      if (signs && !may(authorizers, request, "sign", signer)) {
        throw refuse(`user not permitted to sign requests with signerName ${quoted}`);
      }
      if (subresource === "approval" && !may(authorizers, request, "approve", signer)) {
        throw refuse(`user not permitted to approve requests with signerName ${quoted}`);
      }
    },
  };
}

/** By the signer's name, or by `domain/*` for all of its domain. */
function may(
  authorizers: readonly Authorizer[],
  { user }: AdmissionRequest,
  verb: string,
  signer: string,
): boolean {
  const domain = signer.slice(0, signer.indexOf("/"));
  return [signer, `${domain}/*`].some((name) => {
    const about = { group: "certificates.k8s.io", resource: "signers", name };
    const rest = { subresource: "", namespace: "", fieldSelector: "", path: "" };
    return decide(authorizers, { user, verb, ...about, ...rest }).allowed;
  });
}

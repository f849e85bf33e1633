/** What the certificate controllers read from a request. */
import type { CertificateSigningRequest } from "../../../proto/gen/certificates.ts";
import { parseCertificateRequest } from "../../kinds/facts.ts";
import type { CertificateRequestContent } from "../../kinds/mod.ts";

export const signers = {
  client: "kubernetes.io/kube-apiserver-client",
  kubeletClient: "kubernetes.io/kube-apiserver-client-kubelet",
  kubeletServing: "kubernetes.io/kubelet-serving",
} as const;

type Decision = "Approved" | "Denied" | "Failed";

export function has({ status }: CertificateSigningRequest, type: Decision): boolean {
  return (status?.conditions ?? []).some(
    (condition) => condition.type === type && condition.status === "True",
  );
}

/** Undefined: the request cannot be read, although the apiserver has checked it. */
export function contentOf({
  spec,
}: CertificateSigningRequest): CertificateRequestContent | undefined {
  return parseCertificateRequest(Buffer.from(spec?.request ?? "", "base64").toString("latin1"));
}

import type { PeerCertificate as TlsCertificate } from "node:tls";
import type { PeerCertificate } from "./types.ts";

/** The identity in a verified certificate; undefined for one without a common name. */
export function identityOf(certificate: TlsCertificate | undefined): PeerCertificate | undefined {
  // Node gives a repeated attribute as an array, which its types do not say.
  const subject = certificate?.subject as { CN?: string | string[]; O?: string | string[] };
  if (subject === undefined || subject === null) return undefined;
  const commonName = Array.isArray(subject.CN) ? subject.CN[0] : subject.CN;
  if (commonName === undefined || commonName === "") return undefined;
  const organizations = subject.O ?? [];
  return {
    commonName,
    organizations: Array.isArray(organizations) ? organizations : [organizations],
  };
}

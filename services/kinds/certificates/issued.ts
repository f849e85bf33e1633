/** The certificates that a signer has put into a request's status. */
import { X509Certificate } from "node:crypto";

const begin = /-----BEGIN ([A-Z0-9 ]{1,64})-----/;
const blockOf = (type: string): RegExp =>
  new RegExp(`-----BEGIN ${type}-----([\\s\\S]*?)-----END ${type}-----`);

/** What is wrong with a PEM text; text between the blocks is passed over. */
export function checkCertificates(pem: string): string[] {
  let rest = pem;
  let blocks = 0;
  for (;;) {
    const type = begin.exec(rest)?.[1];
    const match = type === undefined ? null : blockOf(type).exec(rest);
    if (type === undefined || match === null) break;
    if (type !== "CERTIFICATE") {
      return [`only CERTIFICATE PEM blocks are allowed, found ${JSON.stringify(type)}`];
    }
    if (match[1]?.includes(":")) return ["no PEM block headers are permitted"];
    if (!isCertificate(match[0])) return ["x509: malformed certificate"];
    blocks += 1;
    rest = rest.slice(match.index + match[0].length);
  }
  return blocks === 0 ? ["must contain at least one CERTIFICATE PEM block"] : [];
}

function isCertificate(pem: string): boolean {
  try {
    new X509Certificate(pem);
    return true;
  } catch {
    // The library's own words name its internals; the caller says what matters.
    return false;
  }
}

/**
 * Who the caller is, as headers that masters believe from the balancer alone (Kubernetes'
 * front-proxy convention: `--requestheader-username-headers`, `--requestheader-group-headers`).
 */
import type { PeerCertificate } from "../rpc/types.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Headers } from "./calls.ts";

export const userHeader = "x-remote-user";
/** One field a group; HTTP joins them with commas. */
export const groupHeader = "x-remote-group";
const reserved = "x-remote-";

/** The caller's headers without what it must not say itself, with what its certificate says. */
export function identified(headers: Headers, certificate: PeerCertificate | undefined): Headers {
  const result: Record<string, string | readonly string[]> = {};
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    if (value !== undefined && !name.startsWith(reserved)) result[name] = value;
  }
  if (certificate === undefined) return result;
  result[userHeader] = certificate.commonName;
  if (certificate.organizations.length > 0) result[groupHeader] = certificate.organizations;
  return result;
}

/**
 * A name that a header would change — cut at a comma, trimmed, or not carried at all — would make
 * somebody else of its bearer. Throws a StatusError.
 */
export function checkIdentity(certificate: PeerCertificate): void {
  for (const name of [certificate.commonName, ...certificate.organizations]) {
    if (/^[!-+\--~](?:[ -+\--~]*[!-+\--~])?$/.test(name)) continue;
    const what = `"${name}" in the client certificate's subject`;
    throw new StatusError(
      Code.unauthenticated,
      `${what} cannot be passed on: printable ASCII without commas or outer spaces is wanted`,
    );
  }
}

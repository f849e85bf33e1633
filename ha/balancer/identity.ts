/**
 * The identity of the client, as headers that masters trust from the balancer alone (Kubernetes'
 * front-proxy convention: `--requestheader-username-headers`, `--requestheader-group-headers`).
 */
import type { PeerIdentity } from "../rpc/listener.ts";
import type { PeerCertificate } from "../rpc/types.ts";

const userHeader = "x-remote-user";
/** One field a group; HTTP joins them with commas. */
const groupHeader = "x-remote-group";
const reserved = "x-remote-";

/** A caller must not say it itself. */
export function isReserved(name: string): boolean {
  return name.startsWith(reserved);
}

/**
 * What the certificate says; name and value alternately. For a client without one the empty user:
 * so a master does not take the call for the balancer's own, and goes by what else the client
 * presents, such as a bearer token. `address`: the client's, for the masters' audit log.
 */
export function identityFields(
  certificate: PeerCertificate | undefined,
  address?: string,
): string[] {
  const from = address === undefined ? [] : ["x-forwarded-for", address];
  if (certificate === undefined) return [userHeader, "", ...from];
  const { commonName, organizations } = certificate;
  const groups = organizations.flatMap((group) => [groupHeader, group]);
  return [userHeader, commonName, ...groups, ...from];
}

/**
 * Why the connection's certificate makes every call impossible. A name that a header would change —
 * cut at a comma, trimmed, or not carried at all — would give its bearer another identity.
 */
export function refusalOf({ refusal, certificate }: PeerIdentity): string | undefined {
  if (refusal !== undefined || certificate === undefined) return refusal;
  for (const name of [certificate.commonName, ...certificate.organizations]) {
    if (/^[!-+\--~](?:[ -+\--~]*[!-+\--~])?$/.test(name)) continue;
    const what = `"${name}" in the client certificate's subject`;
    return `${what} cannot be passed on: printable ASCII without commas or outer spaces is wanted`;
  }
  return undefined;
}

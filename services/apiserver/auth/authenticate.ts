import type { CallContext } from "../../../ha/rpc/types.ts";
import { unauthenticated } from "../errors.ts";

export interface User {
  readonly name: string;
  readonly groups: readonly string[];
}

export const remoteUserHeader = "x-remote-user";
export const remoteGroupHeader = "x-remote-group";
const groupsMax = 64;

/**
 * Who is calling: the subject of the verified client certificate (CN is the user, O the groups). A
 * peer that is a trusted front proxy speaks for the user named in its headers, as with upstream's
 * `--requestheader-*` flags. Throws Unauthenticated, which says what to present.
 */
export function authenticate(
  context: Pick<CallContext, "metadata" | "peer">,
  frontProxyNames: ReadonlySet<string>,
): User {
  const certificate = context.peer.certificate;
  if (certificate === undefined) {
    throw unauthenticated(
      "Unauthorized: present a client certificate signed by the cluster's CA " +
        "(--client-certificate and --client-key)",
    );
  }
  if (!frontProxyNames.has(certificate.commonName)) {
    return user(certificate.commonName, certificate.organizations);
  }
  const name = context.metadata.get(remoteUserHeader)[0];
  if (name === undefined) return user(certificate.commonName, certificate.organizations);
  if (typeof name !== "string" || name === "") {
    throw unauthenticated(`Unauthorized: the header ${remoteUserHeader} is empty`);
  }
  const groups = context.metadata.get(remoteGroupHeader).map(String);
  if (groups.length > groupsMax) {
    throw unauthenticated(`Unauthorized: ${groups.length} groups, at most ${groupsMax} are taken`);
  }
  return user(name, groups);
}

function user(name: string, groups: readonly string[]): User {
  return { name, groups: [...groups, "system:authenticated"] };
}

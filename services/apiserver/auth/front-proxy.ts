import { unauthenticated } from "../errors.ts";
import type { Authenticator } from "./authenticate.ts";
import { extraOf } from "./extra-headers.ts";

export const remoteUserHeader = "x-remote-user";
const remoteGroupHeader = "x-remote-group";
const remoteUidHeader = "x-remote-uid";
const remoteExtraPrefix = "x-remote-extra-";
const groupsMax = 64;

/**
 * A peer whose certificate has one of these common names speaks for the user named in its headers
 * (upstream's `--requestheader-*` flags). A request that it passes on for a client without an
 * identity names the empty user, and is left to the authenticators that follow.
 */
export function frontProxyAuthenticator(allowedNames: ReadonlySet<string>): Authenticator {
  return {
    name: "front-proxy",
    authenticate(credentials) {
      const { certificate } = credentials;
      if (certificate === undefined || !allowedNames.has(certificate.commonName)) return undefined;
      const name = credentials.header(remoteUserHeader)[0];
      if (name === undefined || name === "") return undefined;
      const groups = credentials.header(remoteGroupHeader);
      if (groups.length > groupsMax) {
        throw unauthenticated(
          `Unauthorized: ${groups.length} groups, at most ${groupsMax} are taken`,
        );
      }
      const uid = credentials.header(remoteUidHeader)[0];
      const extra = extraOf(credentials, remoteExtraPrefix);
      return { name, groups, ...(uid && { uid }), extra };
    },
  };
}

import type { Authenticator } from "./authenticate.ts";
import { remoteUserHeader } from "./front-proxy.ts";

/**
 * The subject of the verified client certificate: CN is the user, O are the groups. A front proxy is
 * known by its own certificate only when it passes nothing on: a request with the header that names
 * another user, even an empty one, is not the proxy's own.
 */
export function certificateAuthenticator(frontProxyNames: ReadonlySet<string>): Authenticator {
  return {
    name: "certificate",
    authenticate(credentials) {
      const { certificate } = credentials;
      if (certificate === undefined) return undefined;
      const { commonName, organizations } = certificate;
      if (frontProxyNames.has(commonName) && credentials.header(remoteUserHeader).length > 0)
        return undefined;
      return { name: commonName, groups: organizations };
    },
  };
}

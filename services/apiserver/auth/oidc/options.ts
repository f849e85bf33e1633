/** The flags about tokens of an OpenID Connect provider, as `kube-apiserver` has them. */
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";

export interface OidcOptions {
  /** As the token's `iss` says it; also where the provider is found. */
  readonly issuer: string;
  readonly clientId: string;
  /** Default `sub`. */
  readonly usernameClaim?: string | undefined;
  /** Default: `<issuer>#`, for another claim than `email`; `-`: none. */
  readonly usernamePrefix?: string | undefined;
  /** Absent: tokens give no groups. */
  readonly groupsClaim?: string | undefined;
  readonly groupsPrefix?: string | undefined;
  /** Claims that a token must have, with these values. */
  readonly requiredClaims?: Readonly<Record<string, string>> | undefined;
  /** PEM of the CA of the provider's certificate; absent: those that the machine trusts. */
  readonly ca?: string | undefined;
}

/** Flags without the files; undefined: OpenID Connect is not used. */
export function oidcOptions(
  flags: Readonly<Record<string, string | undefined>>,
): Omit<OidcOptions, "ca"> | undefined {
  const issuer = flags["oidc-issuer-url"];
  const clientId = flags["oidc-client-id"];
  if (issuer === undefined && clientId === undefined) return undefined;
  if (issuer === undefined || clientId === undefined) {
    throw refused("--oidc-issuer-url and --oidc-client-id are given together or not at all");
  }
  if (!URL.canParse(issuer) || new URL(issuer).protocol !== "https:") {
    throw refused(`--oidc-issuer-url: "${issuer}" is no URL that begins with https://`);
  }
  return {
    issuer,
    clientId,
    usernameClaim: flags["oidc-username-claim"],
    usernamePrefix: flags["oidc-username-prefix"],
    groupsClaim: flags["oidc-groups-claim"],
    groupsPrefix: flags["oidc-groups-prefix"],
    requiredClaims: claimsOf(flags["oidc-required-claim"]),
  };
}

function claimsOf(text: string | undefined): Record<string, string> {
  if (text === undefined || text === "") return {};
  return Object.fromEntries(
    text.split(",").map((pair) => {
      const equals = pair.indexOf("=");
      if (equals > 0) return [pair.slice(0, equals), pair.slice(equals + 1)];
      throw refused(`--oidc-required-claim: "${pair}" is not claim=value`);
    }),
  );
}

function refused(message: string): StatusError {
  return new StatusError(Code.invalidArgument, message);
}

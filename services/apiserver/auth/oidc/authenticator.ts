import { unauthenticated } from "../../errors.ts";
import type { TokenAuthenticator } from "../bearer.ts";
import { audiencesOf, isSignedBy, type Jwt, numberClaim, parseJwt, textClaim } from "../jwt.ts";
import type { KeySource } from "./key-source.ts";
import type { OidcOptions } from "./options.ts";

const groupsMax = 1_000;

/** ID tokens of one provider (upstream `authenticator/token/oidc`). */
export function oidcAuthenticator(
  options: OidcOptions,
  keys: Pick<KeySource, "keyOf" | "ready">,
  now: () => number,
): TokenAuthenticator {
  const { issuer, clientId, requiredClaims = {} } = options;
  return {
    name: "oidc",
    authenticate(token) {
      const jwt = parseJwt(token);
      if (jwt === undefined || textClaim(jwt.claims, "iss") !== issuer) return undefined;
      if (!keys.ready) throw wrong("the keys of its issuer are not known yet");
      const key = keys.keyOf(jwt.keyId ?? "");
      if (key === undefined || !isSignedBy(jwt, key)) throw wrong("its signature");
      const { claims } = jwt;
      if (!audiencesOf(claims).includes(clientId)) throw wrong(`it is not for "${clientId}"`);
      const nowSeconds = now() / 1000;
      const expiry = numberClaim(claims, "exp");
      if (expiry === undefined || nowSeconds >= expiry) throw wrong("it has expired");
      if ((numberClaim(claims, "nbf") ?? 0) > nowSeconds + 60) throw wrong("it is not valid yet");
      for (const [name, value] of Object.entries(requiredClaims)) {
        if (textClaim(claims, name) !== value) throw wrong(`its claim ${name} is not "${value}"`);
      }
      return { user: { name: nameOf(options, claims), groups: groupsOf(options, claims) } };
    },
  };
}

function nameOf(options: OidcOptions, claims: Jwt["claims"]): string {
  const { issuer, usernameClaim: claim = "sub" } = options;
  const value = textClaim(claims, claim);
  if (value === undefined || value === "") throw wrong(`it has no claim ${claim}`);
  // The provider must have seen that the address is the user's own.
  if (claim === "email" && (claims["email_verified"] ?? true) !== true) {
    throw wrong("its email is not verified");
  }
  const prefix = options.usernamePrefix ?? (claim === "email" ? "" : `${issuer}#`);
  return `${prefix === "-" ? "" : prefix}${value}`;
}

/** A list of texts, or one. */
function groupsOf(options: OidcOptions, claims: Jwt["claims"]): string[] {
  const { groupsClaim, groupsPrefix = "" } = options;
  if (groupsClaim === undefined) return [];
  const value = claims[groupsClaim] ?? [];
  const groups: unknown[] = Array.isArray(value) ? value : [value];
  if (groups.length > groupsMax) throw wrong(`it has more than ${groupsMax} groups`);
  return groups.map((group) => {
    if (typeof group === "string") return `${groupsPrefix}${group}`;
    throw wrong(`its claim ${groupsClaim} is no list of texts`);
  });
}

function wrong(why: string) {
  return unauthenticated(`Unauthorized: the ID token is not valid: ${why}`);
}

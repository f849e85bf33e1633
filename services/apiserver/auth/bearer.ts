/** Bearer tokens of every kind, from the `Authorization` header to the user. */
import { unauthenticated } from "../errors.ts";
import type { User } from "../request-info.ts";
import type { Authenticator } from "./authenticate.ts";

const tokenBytesMax = 16 * 1024;

export interface TokenIdentity {
  readonly user: User;
  /** Those of the wanted audiences for which the token is valid; undefined: it names none. */
  readonly audiences?: readonly string[] | undefined;
}

/**
 * One kind of bearer token. Called for each request with a token, so it must be quick, and it must
 * not change anything. Answers undefined for a token of another kind; throws Unauthenticated for one
 * of its own that is wrong. `audiences`: the token must have been issued for one of these, or name
 * no audience at all.
 */
export interface TokenAuthenticator {
  readonly name: string;
  authenticate(token: string, audiences: readonly string[]): TokenIdentity | undefined;
}

/** Asks each kind in turn. Throws Unauthenticated for a token that none of them knows. */
export function authenticateToken(
  kinds: readonly TokenAuthenticator[],
  token: string,
  audiences: readonly string[],
): TokenIdentity {
  for (const kind of kinds) {
    const identity = kind.authenticate(token, audiences);
    if (identity !== undefined) return identity;
  }
  throw unauthenticated("Unauthorized: the bearer token is not known");
}

/** `audiences`: of the API itself. */
export function bearerAuthenticator(
  kinds: readonly TokenAuthenticator[],
  audiences: readonly string[],
): Authenticator {
  return {
    name: "bearer",
    authenticate(credentials) {
      const token = bearerOf(credentials.header("authorization")[0]);
      return token === undefined ? undefined : authenticateToken(kinds, token, audiences).user;
    },
  };
}

/** The token of an `Authorization: Bearer …` header. */
function bearerOf(header: string | undefined): string | undefined {
  const token = /^bearer +(\S+)$/i.exec(header?.slice(0, tokenBytesMax + 16) ?? "")?.[1];
  return token !== undefined && token.length <= tokenBytesMax ? token : undefined;
}

/**
 * Tokens: what Authenticate gives a client to show with its calls. A simple token is signed with a
 * key that all members share, so that each member accepts what another one issued:
 *
 *   base64url(JSON { user, since, expires }) "." base64url(HMAC-SHA-256 of the first part)
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { AuthData } from "./auth-records.ts";
import { etcdLimits } from "./limits.ts";

/** The user that a call is made for, and how the user was authenticated. */
export interface NamedCaller {
  readonly name: string;
  /** Auth revision of the password that the token was given for; absent for a certificate. */
  readonly since?: number | undefined;
  /** Auth revision that a JWT names: the caller may touch keys until the auth data changes. */
  readonly authRevision?: number | undefined;
}

/** A kind of tokens (etcd's `--auth-token`). */
export interface TokenProvider {
  /** A token for a user of `data`, whose password has been checked. */
  issue(data: AuthData, name: string, wallMillis: number): Promise<string>;
  /** Undefined: the token is not valid, or not any more. */
  read(data: AuthData, token: string, wallMillis: number): Promise<NamedCaller | undefined>;
}

/** etcd's `simple`: a token ends with the password it was given for. */
export class SimpleTokens implements TokenProvider {
  async issue(data: AuthData, name: string, wallMillis: number): Promise<string> {
    const since = data.users.get(name)?.since ?? 0;
    const expires = wallMillis + etcdLimits.tokenMillis;
    return issueToken(data.tokenKey, { user: name, since, expires });
  }

  async read(data: AuthData, token: string, wallMillis: number): Promise<NamedCaller | undefined> {
    const claims = readToken(data.tokenKey, token, wallMillis);
    return claims && { name: claims.user, since: claims.since };
  }
}

interface TokenClaims {
  readonly user: string;
  /** Auth revision since which the user has its present password; a changed one ends the token. */
  readonly since: number;
  /** Unix time in milliseconds. */
  readonly expires: number;
}

function issueToken(key: Uint8Array, claims: TokenClaims): string {
  const body = Buffer.from(JSON.stringify(claims)).toString("base64url");
  return `${body}.${signature(key, body).toString("base64url")}`;
}

/** Undefined: not a token of ours, or not any more. */
function readToken(key: Uint8Array, token: string, wallMillis: number): TokenClaims | undefined {
  if (key.length === 0 || token.length > etcdLimits.tokenBytes) return undefined;
  const dot = token.indexOf(".");
  const body = token.slice(0, Math.max(0, dot));
  const given = Buffer.from(token.slice(dot + 1), "base64url");
  const expected = signature(key, body);
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  // The signature proves that a member wrote these claims, so they have the right form.
  const claims = JSON.parse(Buffer.from(body, "base64url").toString()) as TokenClaims;
  return claims.expires > wallMillis ? claims : undefined;
}

function signature(key: Uint8Array, body: string): Buffer {
  return createHmac("sha256", key).update(body).digest();
}

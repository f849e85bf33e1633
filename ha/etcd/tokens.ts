/**
 * Tokens: what Authenticate gives a client to show with its calls. Signed with a key that all
 * members share, so that each accepts what another one issued:
 *
 *   base64url(JSON { user, since, expires }) "." base64url(HMAC-SHA-256 of the first part)
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { etcdLimits } from "./limits.ts";

export interface TokenClaims {
  readonly user: string;
  /** Auth revision since which the user has its present password; a changed one ends the token. */
  readonly since: number;
  /** Unix time in milliseconds. */
  readonly expires: number;
}

export function issueToken(key: Uint8Array, claims: TokenClaims): string {
  const body = Buffer.from(JSON.stringify(claims)).toString("base64url");
  return `${body}.${signature(key, body).toString("base64url")}`;
}

/** Undefined: not a token of ours, or not any more. */
export function readToken(
  key: Uint8Array,
  token: string,
  wallMillis: number,
): TokenClaims | undefined {
  if (key.length === 0 || token.length > etcdLimits.tokenBytes) return undefined;
  const dot = token.indexOf(".");
  const body = token.slice(0, Math.max(0, dot));
  const given = Buffer.from(token.slice(dot + 1), "base64url");
  const expected = signature(key, body);
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  // What we signed we wrote: it has the form.
  const claims = JSON.parse(Buffer.from(body, "base64url").toString()) as TokenClaims;
  return claims.expires > wallMillis ? claims : undefined;
}

function signature(key: Uint8Array, body: string): Buffer {
  return createHmac("sha256", key).update(body).digest();
}

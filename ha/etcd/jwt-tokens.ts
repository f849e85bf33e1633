/**
 * Tokens that are JSON Web Tokens (RFC 7519), with etcd's claims: `username`, `revision` (of the
 * auth data), `exp`. Members that have the same keys accept each other's tokens, and those that
 * another program has signed with the private key. Source: etcd `server/auth/jwt.go`.
 */
import type { AuthData } from "./auth-records.ts";
import * as errors from "./errors.ts";
import { type JwtKeys, type JwtOptions, jwtKeys } from "./jwt-options.ts";
import { etcdLimits } from "./limits.ts";
import type { NamedCaller, TokenProvider } from "./tokens.ts";

/** Few stores have tokens of this kind. */
const loadJose = () => import("jose");

export class JwtTokens implements TokenProvider {
  private readonly options: JwtOptions;
  private readonly keys: JwtKeys;

  constructor(options: JwtOptions) {
    this.options = options;
    this.keys = jwtKeys(options);
  }

  async issue(data: AuthData, name: string, wallMillis: number): Promise<string> {
    const { sign } = this.keys;
    if (sign === undefined) {
      throw errors.unknown("auth: token signing attempted with verify-only key");
    }
    const { signMethod, ttlMillis } = this.options;
    const { SignJWT } = await loadJose();
    return new SignJWT({ username: name, revision: data.revision })
      .setProtectedHeader({ alg: signMethod, typ: "JWT" })
      .setExpirationTime(Math.floor((wallMillis + ttlMillis) / 1_000))
      .sign(sign);
  }

  async read(_: AuthData, token: string, wallMillis: number): Promise<NamedCaller | undefined> {
    if (token.length > etcdLimits.tokenBytes) return undefined;
    const { jwtVerify } = await loadJose();
    try {
      const { payload } = await jwtVerify(token, this.keys.verify, {
        algorithms: [this.options.signMethod],
        currentDate: new Date(wallMillis),
      });
      const { username, revision } = payload;
      if (typeof username !== "string" || typeof revision !== "number") return undefined;
      return { name: username, authRevision: revision };
    } catch {
      // The caller is told that the token is invalid, and not why.
      return undefined;
    }
  }
}

/** What proves and makes the tokens of service accounts on one master. */
import { type Jwt, signJwt } from "../jwt.ts";
import { keySet, type SigningKey, signingKeyOf, type TokenKey, tokenKeysOf } from "./keys.ts";

export interface ServiceAccountTokenOptions {
  /** PEM texts. Absent: tokens are accepted and none is made. */
  readonly signingKey?: string | undefined;
  readonly keys: readonly string[];
  /** The first one makes new tokens, all are accepted. */
  readonly issuers: readonly string[];
  /** Of the API itself; empty: the issuers. */
  readonly audiences?: readonly string[] | undefined;
  /** A longer time is cut to this one; absent: none is. */
  readonly maxExpirationSeconds?: number | undefined;
  /** Where others find the keys; absent: below the issuer. */
  readonly jwksUri?: string | undefined;
}

export class ServiceAccountTokens {
  readonly keys: readonly TokenKey[];
  readonly issuers: readonly string[];
  readonly audiences: readonly string[];
  readonly maxExpirationSeconds: number | undefined;
  readonly #signingKey: SigningKey | undefined;
  readonly #jwksUri: string;

  /** Throws invalidArgument that names the flag. */
  constructor(options: ServiceAccountTokenOptions) {
    const { signingKey, keys, issuers, audiences = [] } = options;
    this.#signingKey =
      signingKey === undefined
        ? undefined
        : signingKeyOf("service-account-signing-key-file", signingKey);
    const all = keys.flatMap((pem) => tokenKeysOf("service-account-key-file", pem));
    const own = this.#signingKey;
    const known = own === undefined || all.some(({ id }) => id === own.id);
    this.keys = known ? all : [own, ...all];
    this.issuers = issuers;
    this.audiences = audiences.length === 0 ? issuers : audiences;
    this.maxExpirationSeconds = options.maxExpirationSeconds;
    this.#jwksUri = options.jwksUri ?? `${(issuers[0] ?? "").replace(/\/$/, "")}/openid/v1/jwks`;
  }

  get makesTokens(): boolean {
    return this.#signingKey !== undefined;
  }

  /** The token with these claims, and the issuer's own. */
  sign(claims: object): string {
    const key = this.#signingKey;
    if (key === undefined) throw new Error("there is no key to sign with");
    return signJwt({ ...claims, iss: this.issuers[0] }, key);
  }

  /** Those that may have signed the token: the one it names, or all. */
  keysOf(jwt: Jwt): readonly TokenKey[] {
    return jwt.keyId === undefined ? this.keys : this.keys.filter(({ id }) => id === jwt.keyId);
  }

  /** `/openid/v1/jwks`. */
  get keySet(): object {
    return keySet(this.keys);
  }

  /** `/.well-known/openid-configuration`. */
  get configuration(): object {
    return {
      issuer: this.issuers[0],
      jwks_uri: this.#jwksUri,
      response_types_supported: ["id_token"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: [
        ...new Set(this.keys.map(({ algorithm }) => algorithm)),
      ],
    };
  }
}

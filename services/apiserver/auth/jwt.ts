/** JSON Web Tokens (RFC 7519) as the API signs and proves them: compact form, ES256 and RS256. */
import { type KeyObject, sign, verify } from "node:crypto";
import { isObject } from "../../kinds/machinery/json.ts";

export interface Jwt {
  readonly algorithm: string;
  readonly keyId: string | undefined;
  readonly claims: Readonly<Record<string, unknown>>;
  /** What is signed, and the signature. */
  readonly signed: string;
  readonly signature: Buffer;
}

/** Undefined for what is no token of this form. */
export function parseJwt(token: string): Jwt | undefined {
  const parts = token.split(".");
  const [head, body, signature] = parts;
  if (!head || !body || !signature || parts.length !== 3) return undefined;
  const header = jsonOf(head);
  const claims = jsonOf(body);
  if (header === undefined || claims === undefined) return undefined;
  const { alg, kid } = header;
  return {
    algorithm: typeof alg === "string" ? alg : "",
    keyId: typeof kid === "string" ? kid : undefined,
    claims,
    signed: `${head}.${body}`,
    signature: Buffer.from(signature, "base64url"),
  };
}

function jsonOf(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return isObject(value) ? value : undefined;
  } catch {
    // Not a JSON Web Token, perhaps a token of another kind.
    return undefined;
  }
}

export interface VerifyingKey {
  readonly algorithm: string;
  readonly publicKey: KeyObject;
}

/** The header's algorithm must be the key's own. */
export function isSignedBy(jwt: Jwt, key: VerifyingKey): boolean {
  if (jwt.algorithm !== key.algorithm) return false;
  return verify("sha256", Buffer.from(jwt.signed), forJose(key.publicKey), jwt.signature);
}

export function signJwt(
  claims: object,
  key: { readonly id: string; readonly algorithm: string; readonly privateKey: KeyObject },
): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: key.algorithm, kid: key.id })}.${part(claims)}`;
  const signature = sign("sha256", Buffer.from(signed), forJose(key.privateKey));
  return `${signed}.${signature.toString("base64url")}`;
}

/** RFC 7518 section 3.4: two numbers of 32 bytes; no effect on RSA. */
function forJose(key: KeyObject) {
  return { key, dsaEncoding: "ieee-p1363" } as const;
}

export function textClaim(claims: Jwt["claims"], name: string): string | undefined {
  const value = claims[name];
  return typeof value === "string" ? value : undefined;
}

export function numberClaim(claims: Jwt["claims"], name: string): number | undefined {
  const value = claims[name];
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

export function audiencesOf({ aud }: Jwt["claims"]): string[] {
  const values: unknown[] = Array.isArray(aud) ? aud : [aud];
  return values.filter((each) => typeof each === "string");
}

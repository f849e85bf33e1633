/** The keys that sign and prove tokens of service accounts. */
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";

/** RFC 7518: ECDSA on P-256, and RSA with PKCS #1, both with SHA-256. */
type Algorithm = "ES256" | "RS256";

export interface TokenKey {
  /** Base64url of the SHA-256 of the public key's DER form, as upstream names its keys. */
  readonly id: string;
  readonly algorithm: Algorithm;
  readonly publicKey: KeyObject;
}

export interface SigningKey extends TokenKey {
  readonly privateKey: KeyObject;
}

const rsaBitsMin = 2_048;

/** Throws invalidArgument that names the flag. */
export function signingKeyOf(flag: string, pem: string): SigningKey {
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(pem);
  } catch (error) {
    throw refused(flag, "holds no private key in PEM", error);
  }
  return { ...tokenKeyOf(flag, createPublicKey(privateKey)), privateKey };
}

/** Every key of a file of public keys, certificates or private keys. Throws invalidArgument. */
export function tokenKeysOf(flag: string, pem: string): TokenKey[] {
  const blocks = pem.match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----/g) ?? [];
  if (blocks.length === 0) throw refused(flag, "holds no key in PEM");
  return blocks.map((block) => {
    let key: KeyObject;
    try {
      key = createPublicKey(block);
    } catch (error) {
      throw refused(flag, "holds what is no key in PEM", error);
    }
    return tokenKeyOf(flag, key);
  });
}

function tokenKeyOf(flag: string, publicKey: KeyObject): TokenKey {
  const der = publicKey.export({ type: "spki", format: "der" });
  const id = createHash("sha256").update(der).digest("base64url");
  return { id, algorithm: algorithmOf(flag, publicKey), publicKey };
}

function algorithmOf(flag: string, key: KeyObject): Algorithm {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === "ec" && details?.namedCurve === "prime256v1") return "ES256";
  if (type === "rsa" && (details?.modulusLength ?? 0) >= rsaBitsMin) return "RS256";
  throw refused(flag, `holds a key that is neither ECDSA P-256 nor RSA of ${rsaBitsMin} bits`);
}

function refused(flag: string, why: string, cause?: unknown): StatusError {
  return new StatusError(Code.invalidArgument, `--${flag}: ${why}`, undefined, { cause });
}

/** RFC 7517, as `/openid/v1/jwks` answers it. */
export function keySet(keys: readonly TokenKey[]): object {
  return {
    keys: keys.map(({ id, algorithm, publicKey }) => ({
      use: "sig",
      kid: id,
      alg: algorithm,
      ...publicKey.export({ format: "jwk" }),
    })),
  };
}

import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";

/** The token with these claims, signed with the key of the cluster. */
export type TokenSigner = (claims: Record<string, unknown>) => Promise<string>;

/** Throws invalidArgument for what is no key in PEM. The key is named as the apiserver names it. */
export function tokenSigner(pem: string): TokenSigner {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    const text = "--service-account-private-key-file: holds no private key in PEM";
    throw new StatusError(Code.invalidArgument, text, undefined, { cause });
  }
  const der = createPublicKey(key).export({ type: "spki", format: "der" });
  const kid = createHash("sha256").update(der).digest("base64url");
  const alg = key.asymmetricKeyType === "ec" ? "ES256" : "RS256";
  return async (claims) => {
    // Loaded for the few clusters that still want such tokens.
    const { SignJWT } = await import("jose");
    return new SignJWT(claims).setProtectedHeader({ alg, kid }).sign(key);
  };
}

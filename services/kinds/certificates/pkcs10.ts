/** Certificate requests by PKCS#10 (RFC 2986) in PEM: their form and their signature. */
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { type Element, elementsOf, objectIdOf, tags } from "./der.ts";

interface Algorithm {
  /** Undefined: the algorithm brings its own. */
  readonly hash: string | undefined;
  readonly keyType: string;
  readonly failure: string;
}

const rsa = { keyType: "rsa", failure: "crypto/rsa: verification error" };
const ecdsa = { keyType: "ec", failure: "x509: ECDSA verification failure" };

const algorithms: Readonly<Record<string, Algorithm>> = {
  "1.2.840.113549.1.1.11": { ...rsa, hash: "sha256" },
  "1.2.840.113549.1.1.12": { ...rsa, hash: "sha384" },
  "1.2.840.113549.1.1.13": { ...rsa, hash: "sha512" },
  "1.2.840.10045.4.3.2": { ...ecdsa, hash: "sha256" },
  "1.2.840.10045.4.3.3": { ...ecdsa, hash: "sha384" },
  "1.2.840.10045.4.3.4": { ...ecdsa, hash: "sha512" },
  "1.3.101.112": {
    keyType: "ed25519",
    failure: "x509: Ed25519 verification failure",
    hash: undefined,
  },
};

const block = /-----BEGIN ([A-Z0-9 ]{1,64})-----\s*([A-Za-z0-9+/=\s]*)-----END \1-----/;

/** What is wrong with the request in a PEM text; nothing: it is well-formed and signed by its key. */
export function checkCertificateRequest(pem: string): string[] {
  const match = block.exec(pem);
  if (match === null || match[1] !== "CERTIFICATE REQUEST") {
    return ["PEM block type must be CERTIFICATE REQUEST"];
  }
  const problem = check(Buffer.from(match[2] ?? "", "base64"));
  return problem === undefined ? [] : [problem];
}

const organization = "2.5.4.10";

/** The organizations (groups, to Kubernetes) in the subject of a request that has been checked. */
export function requestedOrganizations(pem: string): string[] {
  const [request] = elementsOf(Buffer.from(block.exec(pem)?.[2] ?? "", "base64")) ?? [];
  const [signed] = (request && sequence(request)) ?? [];
  const [, subject] = (signed && sequence(signed)) ?? [];
  const sets = (subject && sequence(subject)) ?? [];
  return sets
    .flatMap(({ content }) => elementsOf(content) ?? [])
    .map((attribute) => sequence(attribute) ?? [])
    .filter(([type]) => type !== undefined && objectIdOf(type) === organization)
    .map(([, value]) => value?.content.toString("utf8") ?? "");
}

const malformed = "x509: malformed certificate request";

function check(bytes: Buffer): string | undefined {
  const [request, ...trailing] = elementsOf(bytes) ?? [];
  if (request === undefined) return malformed;
  if (trailing.length > 0) return "asn1: syntax error: trailing data";
  const [signed, signatureType, signature, ...more] = sequence(request) ?? [];
  if (!signed || !signatureType || signature?.tag !== tags.bitString || more.length > 0) {
    return malformed;
  }
  const [version, subject, keyInfo] = sequence(signed) ?? [];
  if (version?.tag !== tags.integer || subject?.tag !== tags.sequence || keyInfo === undefined) {
    return malformed;
  }
  const [id] = sequence(signatureType) ?? [];
  const name = id && objectIdOf(id);
  if (name === undefined) return malformed;
  const algorithm = Object.hasOwn(algorithms, name) ? algorithms[name] : undefined;
  if (algorithm === undefined) return "x509: cannot verify signature: algorithm unimplemented";
  const key = publicKeyOf(keyInfo.whole);
  if (key === undefined) return "x509: unsupported public key";
  if (key.asymmetricKeyType !== algorithm.keyType) {
    const type = key.asymmetricKeyType ?? "unknown";
    return `x509: signature algorithm specifies an ${algorithm.keyType} public key, but have ${type}`;
  }
  // The first byte of a bit string counts the bits that its last byte leaves over.
  const value = signature.content.subarray(1);
  return verify(algorithm.hash, signed.whole, key, value) ? undefined : algorithm.failure;
}

function sequence({ tag, content }: Element): Element[] | undefined {
  return tag === tags.sequence ? elementsOf(content) : undefined;
}

function publicKeyOf(der: Buffer): KeyObject | undefined {
  try {
    return createPublicKey({ key: der, format: "der", type: "spki" });
  } catch {
    // Whatever the library finds wrong with it, it is no key that could verify anything.
    return undefined;
  }
}

/** Certificate requests by PKCS#10 (RFC 2986) in PEM: their form and their signature. */
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { type Element, elementsOf, objectIdOf, sequenceOf, tags } from "./der.ts";

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

/** The organizations (groups, to Kubernetes) in the subject of a request that has been checked. */
export function requestedOrganizations(pem: string): readonly string[] {
  return parseCertificateRequest(pem)?.organizations ?? [];
}

export const organizationId = "2.5.4.10";
export const commonNameId = "2.5.4.3";
export const extensionRequestId = "1.2.840.113549.1.9.14";
const alternativeNames = "2.5.29.17";
/** The attributes of a request. */
const attributesTag = 0xa0;

/** What a request asks for. */
export interface CertificateRequestContent {
  /** In DER. */
  readonly subject: Buffer;
  /** Of the subject; "": it has none. */
  readonly commonName: string;
  readonly organizations: readonly string[];
  /** In DER, with its algorithm. */
  readonly publicKey: Buffer;
  readonly names: AlternativeNames;
}

/** The names of a certificate beside its subject (RFC 5280, section 4.2.1.6). */
export interface AlternativeNames {
  readonly dns: readonly string[];
  /** Four or sixteen bytes each. */
  readonly addresses: readonly Buffer[];
  readonly emails: readonly string[];
  readonly uris: readonly string[];
}

/** Of a request that has been checked; undefined: it cannot be read. */
export function parseCertificateRequest(pem: string): CertificateRequestContent | undefined {
  const [request] = elementsOf(Buffer.from(block.exec(pem)?.[2] ?? "", "base64")) ?? [];
  const [signed] = sequenceOf(request) ?? [];
  const [, subject, keyInfo, ...others] = sequenceOf(signed) ?? [];
  const attributes = sequenceOf(subject)?.flatMap(({ content }) => elementsOf(content) ?? []);
  if (subject === undefined || keyInfo === undefined || attributes === undefined) return undefined;
  const values = (wanted: string): string[] =>
    attributes
      .map((attribute) => sequenceOf(attribute) ?? [])
      .filter(([type]) => type !== undefined && objectIdOf(type) === wanted)
      .map(([, value]) => value?.content.toString("utf8") ?? "");
  return {
    subject: subject.whole,
    commonName: values(commonNameId).at(-1) ?? "",
    organizations: values(organizationId),
    publicKey: keyInfo.whole,
    names: namesOf(others.find(({ tag }) => tag === attributesTag)),
  };
}

function namesOf(attributes: Element | undefined): AlternativeNames {
  const extensions = ((attributes && elementsOf(attributes.content)) ?? [])
    .map((attribute) => sequenceOf(attribute) ?? [])
    .filter(([type]) => type !== undefined && objectIdOf(type) === extensionRequestId)
    .flatMap(([, values]) => (values && elementsOf(values.content)) ?? [])
    .flatMap((list) => sequenceOf(list) ?? [])
    .map((extension) => sequenceOf(extension) ?? []);
  const named = extensions.find(([type]) => type && objectIdOf(type) === alternativeNames);
  const [list] = elementsOf(named?.at(-1)?.content ?? Buffer.alloc(0)) ?? [];
  const names = sequenceOf(list) ?? [];
  const contents = (tag: number) =>
    names.filter((name) => name.tag === tag).map(({ content }) => content);
  const texts = (tag: number) => contents(tag).map((content) => content.toString("latin1"));
  return {
    emails: texts(nameTags.email),
    dns: texts(nameTags.dns),
    uris: texts(nameTags.uri),
    addresses: contents(nameTags.address).filter(({ length }) => length === 4 || length === 16),
  };
}

/** Of the general names in a list of alternative names. */
export const nameTags = { email: 0x81, dns: 0x82, uri: 0x86, address: 0x87 } as const;

const malformed = "x509: malformed certificate request";

function check(bytes: Buffer): string | undefined {
  const [request, ...trailing] = elementsOf(bytes) ?? [];
  if (request === undefined) return malformed;
  if (trailing.length > 0) return "asn1: syntax error: trailing data";
  const [signed, signatureType, signature, ...more] = sequenceOf(request) ?? [];
  if (!signed || !signatureType || signature?.tag !== tags.bitString || more.length > 0) {
    return malformed;
  }
  const [version, subject, keyInfo] = sequenceOf(signed) ?? [];
  if (version?.tag !== tags.integer || subject?.tag !== tags.sequence || keyInfo === undefined) {
    return malformed;
  }
  const [id] = sequenceOf(signatureType) ?? [];
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

function publicKeyOf(der: Buffer): KeyObject | undefined {
  try {
    return createPublicKey({ key: der, format: "der", type: "spki" });
  } catch {
    // Whatever the library finds wrong with it, it is no key that could verify anything.
    return undefined;
  }
}

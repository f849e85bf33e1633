/** Certificates by X.509 (RFC 5280), signed at once, with a key in memory. */
import {
  createPrivateKey,
  type KeyObject,
  randomBytes,
  sign as signBytes,
  X509Certificate,
} from "node:crypto";
import {
  elementsOf,
  encode,
  encodeBitString,
  encodeObjectId,
  encodeUnsigned,
  objectIdOf,
  sequenceOf,
  tags,
} from "./der.ts";
import { type AlternativeNames, type CertificateRequestContent, nameTags } from "./pkcs10.ts";
import { extendedUsageList, keyUsageBits } from "./usages.ts";

const ids = {
  subjectKey: "2.5.29.14",
  keyUsage: "2.5.29.15",
  alternativeNames: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKey: "2.5.29.35",
  extendedUsage: "2.5.29.37",
} as const;
/** Parts of a certificate that are marked by where they stand. */
const versionTag = 0xa0;
const extensionsTag = 0xa3;
const authorityKeyTag = 0x80;
const version3 = Buffer.from([2]);

export interface SigningAuthority {
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
  /** The authority's name in DER, and the identifier of its key. */
  readonly subject: Buffer;
  readonly keyId: Buffer | undefined;
  readonly algorithm: SignatureAlgorithm;
}

/** How a key signs. */
export interface SignatureAlgorithm {
  readonly id: Buffer;
  readonly hash: string | null;
}

/** Of a certificate and its private key in PEM. Throws an Error that says what is wrong. */
export function signingAuthority(certPem: string, keyPem: string): SigningAuthority {
  const certificate = new X509Certificate(certPem);
  const key = createPrivateKey(keyPem);
  if (!certificate.ca) throw new Error("the certificate is not that of an authority");
  if (!certificate.checkPrivateKey(key)) throw new Error("the key is not the certificate's");
  const [whole] = elementsOf(certificate.raw) ?? [];
  const parts = sequenceOf(sequenceOf(whole)?.[0]) ?? [];
  // Version, serial number, algorithm, issuer, validity, subject.
  const subject = parts[5]?.whole;
  if (subject === undefined) throw new Error("the certificate is not of version 3");
  const marked = parts.find(({ tag }) => tag === extensionsTag);
  const [extensions] = elementsOf(marked?.content ?? none) ?? [];
  const found = (sequenceOf(extensions) ?? [])
    .map((extension) => sequenceOf(extension) ?? [])
    .find(([type]) => type !== undefined && objectIdOf(type) === ids.subjectKey);
  const [keyId] = elementsOf(found?.at(-1)?.content ?? none) ?? [];
  return { certificate, key, subject, keyId: keyId?.content, algorithm: algorithmOf(key) };
}

const none = Buffer.alloc(0);

const curves: Readonly<Record<string, readonly [id: string, hash: string]>> = {
  prime256v1: ["1.2.840.10045.4.3.2", "sha256"],
  secp384r1: ["1.2.840.10045.4.3.3", "sha384"],
  secp521r1: ["1.2.840.10045.4.3.4", "sha512"],
};

/** Throws an Error for a key of another type. */
export function algorithmOf(key: KeyObject): SignatureAlgorithm {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const curve = curves[details?.namedCurve ?? ""];
  if (type === "ec" && curve !== undefined) {
    const [id, hash] = curve;
    return { id: encode(tags.sequence, encodeObjectId(id)), hash };
  }
  if (type === "rsa") {
    const id = encodeObjectId("1.2.840.113549.1.1.11");
    // RSA names its parameters, which are none.
    return { id: encode(tags.sequence, id, encode(0x05)), hash: "sha256" };
  }
  if (type === "ed25519") {
    return { id: encode(tags.sequence, encodeObjectId("1.3.101.112")), hash: null };
  }
  throw new Error(`keys of the type ${type} cannot sign certificates`);
}

export interface CertificateTemplate {
  readonly request: CertificateRequestContent;
  /** Names of the API; others are left out. */
  readonly usages: readonly string[];
  /** Unix milliseconds, cut to seconds. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Answers PEM. The certificate is never that of an authority. */
export function signCertificate(authority: SigningAuthority, template: CertificateTemplate) {
  const { request, notBefore, notAfter } = template;
  const signed = encode(
    tags.sequence,
    encode(versionTag, encode(tags.integer, version3)),
    encodeUnsigned(serialNumber()),
    authority.algorithm.id,
    authority.subject,
    encode(tags.sequence, time(notBefore), time(notAfter)),
    request.subject,
    request.publicKey,
    encode(extensionsTag, encode(tags.sequence, ...extensionsOf(authority, template))),
  );
  return pemOf("CERTIFICATE", signWhole(signed, authority.key, authority.algorithm));
}

/** The signed part, how it was signed, and the signature. */
export function signWhole(part: Buffer, key: KeyObject, { id, hash }: SignatureAlgorithm): Buffer {
  return encode(tags.sequence, part, id, encodeBitString(signBytes(hash, part, key)));
}

export function pemOf(label: string, der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}

function extensionsOf(
  { keyId }: SigningAuthority,
  { request, usages }: CertificateTemplate,
): Buffer[] {
  const keyUsage = keyUsageBits(usages);
  const extended = extendedUsageList(usages);
  const names = alternativeNames(request.names);
  // Without a subject the names are all there is (section 4.2.1.6).
  const nameless = request.subject.length === 2;
  return [
    ...(keyUsage === undefined ? [] : [extension(ids.keyUsage, true, keyUsage)]),
    ...(extended === undefined ? [] : [extension(ids.extendedUsage, false, extended)]),
    extension(ids.basicConstraints, true, encode(tags.sequence)),
    ...(keyId === undefined
      ? []
      : [
          extension(ids.authorityKey, false, encode(tags.sequence, encode(authorityKeyTag, keyId))),
        ]),
    ...(names === undefined ? [] : [extension(ids.alternativeNames, nameless, names)]),
  ];
}

export function extension(id: string, critical: boolean, value: Buffer): Buffer {
  const mark = critical ? [encode(tags.boolean, Buffer.from([0xff]))] : [];
  return encode(tags.sequence, encodeObjectId(id), ...mark, encode(tags.octetString, value));
}

/** Undefined: there are none. */
export function alternativeNames(names: AlternativeNames): Buffer | undefined {
  const texts = (tag: number, values: readonly string[]) =>
    values.map((value) => encode(tag, Buffer.from(value, "latin1")));
  const all = [
    ...texts(nameTags.dns, names.dns),
    ...texts(nameTags.email, names.emails),
    ...names.addresses.map((address) => encode(nameTags.address, address)),
    ...texts(nameTags.uri, names.uris),
  ];
  return all.length === 0 ? undefined : encode(tags.sequence, ...all);
}

/** Positive, at most 127 random bits (section 4.1.2.2). */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes;
}

/** Years before 2050 have two digits (section 4.1.2.5). */
function time(millis: number): Buffer {
  const digits = `${new Date(millis).toISOString().slice(0, 19).replace(/[-T:]/g, "")}Z`;
  const short = digits < "2050";
  const text = short ? digits.slice(2) : digits;
  return encode(short ? tags.utcTime : tags.generalizedTime, Buffer.from(text, "latin1"));
}

/** The cluster's certificate authority: made at the first start, kept in PEM files. */
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { type KeyPair, loadKeyPair, privateKeyOf, writeKeyPair } from "./key-pair.ts";

x509.cryptoProvider.set(webcrypto);

type CryptoKey = webcrypto.CryptoKey;
type CryptoKeyPair = webcrypto.CryptoKeyPair;

const signing = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const dayMillis = 86_400_000;
/** A peer's clock may be a little behind. */
const backdateMillis = 300_000;
const authorityDays = 3_650;
const daysMax = 3_650;
const hostsMax = 64;

type CertificateUse = "server" | "client" | "both";

export interface CertificateRequest {
  /** Subject CN: the user, or the server's name. */
  readonly commonName: string;
  /** Subject O: the user's groups. */
  readonly organizations?: readonly string[] | undefined;
  /** DNS names and IP addresses of a server. */
  readonly hosts?: readonly string[] | undefined;
  /** 1 to 3650; default 365. */
  readonly days?: number | undefined;
  readonly use: CertificateUse;
}

export interface Authority {
  /** The CA's certificate as PEM: what everybody trusts. */
  readonly cert: string;
  issue(request: CertificateRequest): Promise<KeyPair>;
}

/**
 * Loads the authority of a directory (`ca.crt`, `ca.key`), or makes it. Throws a StatusError that
 * names the file when one is missing, unreadable or expired.
 */
export async function createAuthority(directory: string): Promise<Authority> {
  const files = { cert: join(directory, "ca.crt"), key: join(directory, "ca.key") };
  const present = await loadKeyPair(files);
  const pair = present ?? (await makeAuthority());
  if (present === undefined) {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await writeKeyPair(files, pair);
  }
  const certificate = new x509.X509Certificate(pair.cert);
  const der = privateKeyOf(pair.key, files.key).export({ type: "pkcs8", format: "der" });
  const key = await webcrypto.subtle.importKey("pkcs8", der, signing, false, ["sign"]);
  return { cert: pair.cert, issue: (request) => issue(certificate, key, request) };
}

async function newKeys(): Promise<CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(signing, true, ["sign", "verify"])) as CryptoKeyPair;
}

async function keyText(key: CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey("pkcs8", key);
  return `${x509.PemConverter.encode(der, "PRIVATE KEY")}\n`;
}

async function makeAuthority(): Promise<KeyPair> {
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ CN: ["trireme-ca"] }],
    keys,
    signingAlgorithm: signing,
    ...validity(authorityDays),
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: `${certificate.toString("pem")}\n`, key: await keyText(keys.privateKey) };
}

async function issue(
  authority: x509.X509Certificate,
  signingKey: CryptoKey,
  request: CertificateRequest,
): Promise<KeyPair> {
  checkRequest(request);
  const keys = await newKeys();
  const { commonName, organizations = [], hosts = [], use } = request;
  const usages = [
    ...(use === "client" ? [] : [x509.ExtendedKeyUsage.serverAuth]),
    ...(use === "server" ? [] : [x509.ExtendedKeyUsage.clientAuth]),
  ];
  const names = hosts.map((host) => ({
    type: isIP(host) === 0 ? ("dns" as const) : ("ip" as const),
    value: host,
  }));
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    issuer: authority.subject,
    subject: [...organizations.map((each) => ({ O: [each] })), { CN: [commonName] }],
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: signing,
    ...validity(request.days ?? 365, authority.notAfter),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(usages),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
      await x509.AuthorityKeyIdentifierExtension.create(authority.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: `${certificate.toString("pem")}\n`, key: await keyText(keys.privateKey) };
}

function checkRequest(request: CertificateRequest): void {
  const refuse = (why: string) => {
    throw new StatusError(Code.invalidArgument, `certificate of "${request.commonName}": ${why}`);
  };
  if (!/^[\x20-\x7e]{1,253}$/.test(request.commonName)) {
    refuse("commonName must be 1 to 253 printable characters");
  }
  for (const each of request.organizations ?? []) {
    if (!/^[\x20-\x7e]{1,253}$/.test(each)) refuse(`organization "${each}" is not printable text`);
  }
  const { days = 365, hosts = [] } = request;
  if (!Number.isInteger(days) || days < 1 || days > daysMax) {
    refuse(`days is ${days}, must be 1 to ${daysMax}`);
  }
  if (hosts.length > hostsMax) refuse(`${hosts.length} hosts, at most ${hostsMax} are taken`);
  if (request.use !== "client" && hosts.length === 0) refuse("a server needs at least one host");
}

function validity(days: number, notLaterThan?: Date): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  const end = Math.min(now + days * dayMillis, notLaterThan?.getTime() ?? Number.MAX_VALUE);
  return { notBefore: new Date(now - backdateMillis), notAfter: new Date(end) };
}

/** Positive, 127 random bits (RFC 5280 section 4.1.2.2). */
function serialNumber(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return Buffer.from(bytes).toString("hex");
}

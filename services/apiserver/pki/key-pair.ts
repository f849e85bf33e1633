/** Certificates and private keys in PEM files. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";

/** PEM texts. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export interface KeyPairFiles {
  readonly cert: string;
  readonly key: string;
}

/** Undefined when neither file exists. Throws for half a pair, and for an expired or odd one. */
export async function loadKeyPair(files: KeyPairFiles): Promise<KeyPair | undefined> {
  const [cert, key] = await Promise.all([readText(files.cert), readText(files.key)]);
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    const [missing, there] = cert === undefined ? [files.cert, files.key] : [files.key, files.cert];
    throw broken(missing, `is missing although ${there} exists; restore it or remove both`);
  }
  checkCertificate(files.cert, cert, Date.now());
  privateKeyOf(key, files.key);
  return { cert, key };
}

/** Throws a StatusError that names the file and its dates. */
export function checkCertificate(file: string, pem: string, nowMillis: number): void {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch (error) {
    throw broken(file, "holds no certificate in PEM", error);
  }
  const { validFromDate: notBefore, validToDate: notAfter } = certificate;
  if (nowMillis > notAfter.getTime()) {
    throw broken(file, `holds a certificate that expired on ${notAfter.toISOString()}`);
  }
  if (nowMillis < notBefore.getTime()) {
    throw broken(file, `holds a certificate that is not valid before ${notBefore.toISOString()}`);
  }
}

/** Both files readable by their owner alone; each appears whole or not at all. */
export async function writeKeyPair(files: KeyPairFiles, pair: KeyPair): Promise<void> {
  await writeWhole(files.key, pair.key);
  await writeWhole(files.cert, pair.cert);
}

/** Readable by its owner alone; the file appears whole or not at all. */
export async function writeWhole(file: string, text: string): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`;
  await writeFile(temporary, text, { mode: 0o600 });
  await rename(temporary, file);
}

async function readText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw broken(file, `cannot be read: ${(error as Error).message}`, error);
  }
}

function broken(file: string, why: string, cause?: unknown): StatusError {
  return new StatusError(Code.failedPrecondition, `${file} ${why}`, undefined, { cause });
}

/** Throws a StatusError that names the file. */
export function privateKeyOf(pem: string, file: string): KeyObject {
  let cause: unknown;
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyDetails?.namedCurve === "prime256v1") return key;
  } catch (error) {
    cause = error;
  }
  throw broken(file, "holds no ECDSA P-256 private key in PEM (PKCS 8)", cause);
}

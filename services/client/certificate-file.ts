/** A certificate and its key, in one file, as kubelets keep theirs. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { chmod, mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";

/** PEM texts. */
export interface PemPair {
  readonly cert: string;
  readonly key: string;
}

const certificateBlock = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----\n?/g;
const keyBlock = /-----BEGIN ([A-Z ]*)PRIVATE KEY-----[\s\S]*?-----END \1PRIVATE KEY-----\n?/;

/** Undefined: there is no such file. Rejects with a StatusError that names a broken one. */
export async function readPairFile(file: string): Promise<PemPair | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw broken(file, `cannot be read: ${(error as Error).message}`, error);
  }
  const pair = {
    cert: text.match(certificateBlock)?.join("") ?? "",
    key: keyBlock.exec(text)?.[0] ?? "",
  };
  try {
    checkPair(pair);
  } catch (error) {
    throw broken(file, (error as Error).message, error);
  }
  return pair;
}

/** Throws an Error when they are not a certificate and its key. */
export function checkPair({ cert, key }: PemPair): void {
  if (cert === "") throw new Error("holds no certificate in PEM");
  if (key === "") throw new Error("holds no private key in PEM");
  if (new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) return;
  throw new Error("the key is not the certificate's");
}

/** Readable by its owner alone; it appears whole or not at all, also after a loss of power. */
export async function writePairFile(file: string, { cert, key }: PemPair): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const temporary = `${file}.${process.pid}.tmp`;
  const handle = await open(temporary, "w", 0o600);
  try {
    await handle.writeFile(`${cert.trimEnd()}\n${key.trimEnd()}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  // One that an earlier run left behind keeps its mode.
  await chmod(temporary, 0o600);
  await rename(temporary, file);
}

function broken(file: string, why: string, cause: unknown): StatusError {
  return new StatusError(Code.failedPrecondition, `${file}: ${why}`, undefined, { cause });
}

/** The key pair that signs tokens of service accounts: one for all masters of a cluster. */
import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { writeWhole } from "./key-pair.ts";

/** PEM files. */
export interface ServiceAccountKeyFiles {
  readonly privateKey: string;
  readonly publicKey: string;
}

/** Makes `sa.key` and `sa.pub` in the directory where they are missing; what is there is kept. */
export async function ensureServiceAccountKey(directory: string): Promise<ServiceAccountKeyFiles> {
  const files = { privateKey: join(directory, "sa.key"), publicKey: join(directory, "sa.pub") };
  await mkdir(directory, { recursive: true, mode: 0o700 });
  let pem: string;
  try {
    pem = await readFile(files.privateKey, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    pem = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    await writeWhole(files.privateKey, pem);
  }
  await writeWhole(files.publicKey, publicPem(files.privateKey, pem));
  return files;
}

function publicPem(file: string, pem: string): string {
  try {
    const publicKey = createPublicKey(createPrivateKey(pem));
    return publicKey.export({ type: "spki", format: "pem" }) as string;
  } catch (cause) {
    const message = `${file} holds no private key in PEM`;
    throw new StatusError(Code.failedPrecondition, message, undefined, { cause });
  }
}

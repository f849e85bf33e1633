/**
 * The secrets of the control plane for masters that join: encrypted in a Secret that lives two
 * hours, under a key that only the printed line has (kubeadm's `upload-certs`).
 */
import { createCipheriv, createDecipheriv, randomBytes, randomInt } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Secret } from "../../../proto/gen/core.ts";
import { isNotFound, type TriremeClient } from "../../client/mod.ts";
import { rfc3339Seconds } from "../../kinds/mod.ts";
import { ask } from "./rest.ts";

const namespace = "kube-system";
const name = "trireme-certs";
const path = `/api/v1/namespaces/${namespace}/secrets/${name}`;
/** The authority, and the keys of the tokens of service accounts. */
const files = ["ca.crt", "ca.key", "sa.key", "sa.pub"] as const;
const lifeMillis = 2 * 3_600_000;
const cipher = "aes-256-gcm";
const [keyBytes, nonceBytes, tagBytes] = [32, 12, 16];
const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789";

/** Answers the key in hex. `directory`: where the cluster's credentials are. */
export async function uploadSecrets(client: TriremeClient, directory: string): Promise<string> {
  const key = randomBytes(keyBytes);
  const data = Object.fromEntries(
    files.map((file) => [file, encrypt(readSecret(join(directory, file)), key).toString("base64")]),
  );
  const owner = await makeOwner(client);
  try {
    await client.secrets.delete(name, namespace);
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  await client.secrets.create({
    metadata: {
      ...{ name, namespace },
      ownerReferences: [
        {
          ...{ apiVersion: "v1", kind: "Secret", controller: true, blockOwnerDeletion: true },
          name: owner.metadata?.name,
          uid: owner.metadata?.uid,
        },
      ],
    },
    type: "Opaque",
    data,
  });
  return key.toString("hex");
}

/** A token for nothing: it is removed when it expires, and what it owns goes with it. */
function makeOwner(client: TriremeClient): Promise<Secret> {
  const letters = (length: number) =>
    Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join("");
  const id = letters(6);
  return client.secrets.create({
    metadata: { name: `bootstrap-token-${id}`, namespace },
    type: "bootstrap.kubernetes.io/token",
    stringData: {
      "token-id": id,
      "token-secret": letters(16),
      description: `Proxy for managing TTL for the ${name} secret`,
      expiration: rfc3339Seconds(Date.now() + lifeMillis),
    },
  });
}

export interface DownloadOptions {
  /** `host:port` of the REST API. */
  readonly server: string;
  readonly ca: string;
  readonly token: string;
  /** In hex. */
  readonly certificateKey: string;
  /** Where the files are written. */
  readonly directory: string;
}

/** Rejects with a StatusError that says why there are none, or that the key is another one. */
export async function downloadSecrets(options: DownloadOptions): Promise<void> {
  const { server, ca, token, certificateKey, directory } = options;
  if (!/^[0-9a-f]{64}$/.test(certificateKey)) {
    throw new StatusError(Code.invalidArgument, "--certificate-key: 64 hex digits are wanted");
  }
  const answer = await ask({ server, path, ca, token });
  if (answer.status === 404) {
    const text =
      `the secret ${name} is not there: it lives two hours; ` +
      "`trireme token create --print-join-command --control-plane` makes a new one";
    throw new StatusError(Code.failedPrecondition, text);
  }
  if (answer.status !== 200) throw new StatusError(Code.permissionDenied, answer.message);
  const { data = {} } = answer.document as Secret;
  const key = Buffer.from(certificateKey, "hex");
  const texts = files.map((file) => decrypt(Buffer.from(data[file] ?? "", "base64"), key, file));
  if (texts[0] !== ca) {
    const text = `the secret ${name} is of another CA than the cluster's: upload it again`;
    throw new StatusError(Code.failedPrecondition, text);
  }
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  files.forEach((file, i) => {
    writeFileSync(join(directory, file), texts[i] ?? "", { mode: 0o600 });
  });
}

/** A nonce, the encrypted text, and its tag. */
function encrypt(text: Buffer, key: Buffer): Buffer {
  const nonce = randomBytes(nonceBytes);
  const encryption = createCipheriv(cipher, key, nonce);
  const encrypted = Buffer.concat([encryption.update(text), encryption.final()]);
  return Buffer.concat([nonce, encrypted, encryption.getAuthTag()]);
}

function decrypt(bytes: Buffer, key: Buffer, file: string): string {
  if (bytes.length < nonceBytes + tagBytes) {
    throw new StatusError(Code.failedPrecondition, `the secret ${name} has no ${file}`);
  }
  const decryption = createDecipheriv(cipher, key, bytes.subarray(0, nonceBytes));
  decryption.setAuthTag(bytes.subarray(-tagBytes));
  try {
    const text = decryption.update(bytes.subarray(nonceBytes, -tagBytes));
    return Buffer.concat([text, decryption.final()]).toString("utf8");
  } catch (cause) {
    const text = `--certificate-key does not open ${file} of the secret ${name}`;
    throw new StatusError(Code.permissionDenied, text, undefined, { cause });
  }
}

function readSecret(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    const text = `${file} cannot be read: the secrets of the cluster are uploaded from where they are`;
    throw new StatusError(Code.failedPrecondition, text, undefined, { cause });
  }
}

/**
 * The identity of a member: an Ed25519 key pair in a file, its libp2p peer id, and the number by
 * which the consensus core knows it.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
} from "node:crypto";
import { constants } from "node:fs";
import { link, mkdir, open, readFile, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { assert } from "../assert.ts";
import type { MemberId } from "../types.ts";

export interface MemberIdentity {
  /** libp2p peer id, e.g. `12D3KooW…`: the public key itself, so nothing else needs pinning. */
  readonly identity: string;
  readonly memberId: MemberId;
  /** Ed25519 seed (32 bytes) followed by the public key (32 bytes): libp2p's raw form. */
  readonly privateKey: Uint8Array;
}

const keyBytes = 32;
/** Mode bits by which another user of this host could read the key and pose as the member. */
const foreignModeBits = 0o077;

/**
 * Loads the private key of `file` (PKCS #8 PEM), or makes one there with mode 0600 at first start.
 * Two processes that start at once end up with the same key.
 */
export async function loadOrCreateIdentity(file: string): Promise<MemberIdentity> {
  const existing = await readKeyFile(file);
  if (existing) return existing;
  await mkdir(dirname(file), { recursive: true });
  const { privateKey } = generateKeyPairSync("ed25519");
  await publishFile(file, privateKey.export({ format: "pem", type: "pkcs8" }).toString());
  const created = await readKeyFile(file);
  assert(created, `identity file ${file} vanished while it was being made`);
  return created;
}

/** The 52-bit hash of an identity, in 1..2^52: exact as a JavaScript number. */
export function memberIdOf(identity: string): MemberId {
  const digest = createHash("sha256").update(identity).digest();
  const number = digest.readUIntBE(0, 6) * 16 + ((digest[6] ?? 0) >> 4);
  return (number + 1) as MemberId;
}

async function readKeyFile(file: string): Promise<MemberIdentity | undefined> {
  let pem: string;
  try {
    const { mode } = await stat(file);
    if ((mode & foreignModeBits) !== 0) {
      const octal = (mode & 0o777).toString(8).padStart(4, "0");
      throw new Error(
        `identity file ${file} is open to other users (mode ${octal}): chmod 600 it, and make a ` +
          "new identity if another user may have read it",
      );
    }
    pem = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return fromPrivateKey(createPrivateKey(pem));
  } catch (error) {
    throw new Error(`identity file ${file} holds no Ed25519 private key in PEM form`, {
      cause: error,
    });
  }
}

/** A crash leaves the whole file or none. A second process leaves the first one's file in place. */
async function publishFile(file: string, content: string): Promise<void> {
  const draft = `${file}.${randomUUID()}`;
  const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY;
  const handle = await open(draft, flags, 0o600);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  try {
    await link(draft, file);
  } catch (error) {
    // EEXIST: another process was faster; its key is the one to use.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

function fromPrivateKey(key: KeyObject): MemberIdentity {
  const { d, x, crv } = key.export({ format: "jwk" });
  assert(crv === "Ed25519" && d !== undefined, "the key is not Ed25519");
  const publicX = x ?? createPublicKey(key).export({ format: "jwk" }).x ?? "";
  const privateKey = new Uint8Array(2 * keyBytes);
  privateKey.set(Buffer.from(d, "base64url"), 0);
  privateKey.set(Buffer.from(publicX, "base64url"), keyBytes);
  const identity = peerIdOf(privateKey.subarray(keyBytes));
  return { identity, memberId: memberIdOf(identity), privateKey };
}

/**
 * libp2p peer id specification: base58btc of the identity multihash (code 0, length 36) of the
 * protobuf `PublicKey { Type = Ed25519 (1); Data = 32 bytes }`. Written out here so that tools that
 * only need a name do not load libp2p.
 */
function peerIdOf(publicKey: Uint8Array): string {
  return base58(Uint8Array.from([0x00, 0x24, 0x08, 0x01, 0x12, 0x20, ...publicKey]));
}

const base58Alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

function base58(bytes: Uint8Array): string {
  let number = BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
  let text = "";
  while (number > 0n) {
    text = base58Alphabet.charAt(Number(number % 58n)) + text;
    number /= 58n;
  }
  for (const byte of bytes) {
    if (byte !== 0) break;
    text = `1${text}`;
  }
  return text;
}

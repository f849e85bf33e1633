/**
 * The ciphers that stored objects are encrypted with, in the formats of upstream's value
 * transformers (apiserver `pkg/storage/value/encrypt`): what another apiserver has written with the
 * same keys is read, and the other way round.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { xsalsa20poly1305 } from "@noble/ciphers/salsa.js";

export type CipherName = "aesgcm" | "aescbc" | "secretbox";

/** One key of one provider. */
export interface Cipher {
  /** What each of its values begins with; "": the value is as it is. */
  readonly prefix: string;
  /** Equal for equal ciphers: prefix and key. */
  readonly id: string;
  /** `key`: where the value is stored, which some ciphers bind it to. */
  encrypt(value: Uint8Array, key: Uint8Array): Uint8Array;
  /** Undefined: the value was encrypted with another key, or has been changed. */
  decrypt(value: Uint8Array, key: Uint8Array): Uint8Array | undefined;
}

/** Bytes that a key may have. */
export const keySizes: Readonly<Record<CipherName, readonly number[]>> = {
  aesgcm: [16, 24, 32],
  aescbc: [16, 24, 32],
  secretbox: [32],
};

/** Leaves values as they are. */
export const identity: Cipher = {
  prefix: "",
  id: "identity",
  encrypt: (value) => value,
  decrypt: (value) => value,
};

/** The bytes after the prefix. */
interface Body {
  seal(value: Uint8Array, key: Uint8Array): Uint8Array;
  open(sealed: Uint8Array, key: Uint8Array): Uint8Array;
}

export function cipherOf(name: CipherName, keyName: string, secret: Uint8Array): Cipher {
  const prefix = `k8s:enc:${name}:v1:${keyName}:`;
  const head = Buffer.from(prefix);
  const body = bodies[name](secret);
  return {
    prefix,
    id: `${prefix}${createHash("sha256").update(secret).digest("hex")}`,
    encrypt: (value, key) => Buffer.concat([head, body.seal(value, key)]),
    decrypt(value, key) {
      try {
        return body.open(value.subarray(head.length), key);
      } catch {
        // Whatever a cipher finds wrong, it is not what this key has written.
        return undefined;
      }
    },
  };
}

const bodies: Readonly<Record<CipherName, (secret: Uint8Array) => Body>> = {
  aesgcm: galoisCounter,
  aescbc: blockChaining,
  secretbox: secretBox,
};

const gcmNonceBytes = 12;
const gcmTagBytes = 16;

/** Nonce, ciphertext, tag; bound to the key under which it is stored. */
function galoisCounter(secret: Uint8Array): Body {
  const algorithm = `aes-${8 * secret.length}-gcm` as "aes-256-gcm";
  return {
    seal(value, key) {
      const nonce = randomBytes(gcmNonceBytes);
      const cipher = createCipheriv(algorithm, secret, nonce);
      cipher.setAAD(key);
      const sealed = [cipher.update(value), cipher.final()];
      return Buffer.concat([nonce, ...sealed, cipher.getAuthTag()]);
    },
    open(sealed, key) {
      const end = sealed.length - gcmTagBytes;
      const decipher = createDecipheriv(algorithm, secret, sealed.subarray(0, gcmNonceBytes), {
        authTagLength: gcmTagBytes,
      });
      decipher.setAAD(key);
      decipher.setAuthTag(sealed.subarray(end));
      return Buffer.concat([
        decipher.update(sealed.subarray(gcmNonceBytes, end)),
        decipher.final(),
      ]);
    },
  };
}

const blockBytes = 16;

/** Initialisation vector and ciphertext, padded to whole blocks (PKCS #7). */
function blockChaining(secret: Uint8Array): Body {
  const algorithm = `aes-${8 * secret.length}-cbc`;
  return {
    seal(value) {
      const start = randomBytes(blockBytes);
      const cipher = createCipheriv(algorithm, secret, start);
      return Buffer.concat([start, cipher.update(value), cipher.final()]);
    },
    open(sealed) {
      const decipher = createDecipheriv(algorithm, secret, sealed.subarray(0, blockBytes));
      return Buffer.concat([decipher.update(sealed.subarray(blockBytes)), decipher.final()]);
    },
  };
}

const boxNonceBytes = 24;

/** Nonce and box (NaCl's XSalsa20 and Poly1305). */
function secretBox(secret: Uint8Array): Body {
  return {
    seal(value) {
      const nonce = randomBytes(boxNonceBytes);
      return Buffer.concat([nonce, xsalsa20poly1305(secret, nonce).encrypt(value)]);
    },
    open(sealed) {
      const nonce = sealed.subarray(0, boxNonceBytes);
      const opened = xsalsa20poly1305(secret, nonce).decrypt(sealed.subarray(boxNonceBytes));
      return Buffer.from(opened.buffer, opened.byteOffset, opened.byteLength);
    },
  };
}

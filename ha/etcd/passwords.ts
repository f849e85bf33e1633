/**
 * Passwords as scrypt hashes. etcd uses bcrypt, which Node does not have; a hash never leaves the
 * cluster, so no client can tell. Each check costs memory and a thread, hence the gate.
 */
import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from "node:crypto";
import { storeErrors } from "../store/mod.ts";
import { etcdLimits } from "./limits.ts";

const cost = { N: 16_384, r: 8, p: 1 } as const;
const saltBytes = 16;
const hashBytes = 32;

let active = 0;
const waiting: (() => void)[] = [];

/** Text of the form `scrypt$N$r$p$salt$hash`, salt and hash in base64url. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(saltBytes);
  const hash = await derive(password, salt, hashBytes, cost);
  const { N, r, p } = cost;
  return ["scrypt", N, r, p, salt.toString("base64url"), hash.toString("base64url")].join("$");
}

/** False also for a hash of another kind. */
export async function isPassword(password: string, hashed: string): Promise<boolean> {
  const [kind, N, r, p, salt, hash] = hashed.split("$");
  if (kind !== "scrypt" || salt === undefined || hash === undefined) return false;
  const expected = Buffer.from(hash, "base64url");
  const options = { N: Number(N), r: Number(r), p: Number(p) };
  const actual = await derive(password, Buffer.from(salt, "base64url"), expected.length, options);
  return timingSafeEqual(actual, expected);
}

/** What a password is checked against when there is no such user, so that it takes as long. */
export const nobodysPassword =
  `scrypt$${cost.N}$${cost.r}$${cost.p}$AAAAAAAAAAAAAAAAAAAAAA$${"A".repeat(43)}` as const;

async function derive(
  password: string,
  salt: Buffer,
  length: number,
  options: ScryptOptions,
): Promise<Buffer> {
  await enter();
  try {
    return await new Promise((resolve, reject) => {
      scrypt(password, salt, length, options, (error, key) => {
        if (error === null) resolve(key);
        else reject(error);
      });
    });
  } finally {
    active--;
    waiting.shift()?.();
  }
}

async function enter(): Promise<void> {
  if (active >= etcdLimits.passwordsAtOnce) {
    if (waiting.length >= etcdLimits.passwordsWaiting) throw storeErrors.tooManyRequests();
    await new Promise<void>((resolve) => waiting.push(resolve));
  }
  active++;
}

/**
 * `--auth-token`, in etcd's form: `simple`, or `jwt` with options behind it:
 *
 *   jwt,pub-key=FILE,priv-key=FILE,sign-method=RS256,ttl=5m
 *
 * Source: etcd `server/auth/options.go` and `store.go`.
 */
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Code, StatusError } from "../runtime/status-error.ts";

const signMethods = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  ...["ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"],
] as const;

/** What the member's thread is told; the files have been read and fit together. */
export interface JwtOptions {
  readonly signMethod: string;
  /** PEM. */
  readonly publicKey?: string | undefined;
  /** PEM; for HMAC the bytes of the key. Absent: tokens are verified and not given out. */
  readonly privateKey?: Uint8Array | undefined;
  readonly ttlMillis: number;
}

/** The keys of {@link JwtOptions}, in the form that signing and verifying take. */
export interface JwtKeys {
  readonly verify: KeyObject | Uint8Array;
  /** Undefined: only the public key is known. */
  readonly sign: KeyObject | Uint8Array | undefined;
}

const knownOptions = new Set(["pub-key", "priv-key", "sign-method", "ttl"]);
const defaultTtlMillis = 5 * 60_000;

/** Undefined: simple tokens. Rejects with invalidArgument, which names what is wrong. */
export async function readAuthToken(text: string): Promise<JwtOptions | undefined> {
  const [kind, ...rest] = text.split(",");
  if (kind !== "simple" && kind !== "jwt") throw refuse(`unknown token type "${kind}"`);
  const options = optionsOf(rest);
  if (kind === "simple") {
    if (options.size > 0) throw refuse(`simple takes no options, but was given "${rest.join()}"`);
    return undefined;
  }
  const signMethod = options.get("sign-method") ?? "";
  if (!signMethods.some((known) => known === signMethod)) {
    const text = `sign-method "${signMethod}": auth: invalid auth signature method`;
    throw refuse(`${text}; known are ${signMethods.join(", ")}`);
  }
  const publicKey = (await fileOf(options, "pub-key"))?.toString();
  const privateKey = await fileOf(options, "priv-key");
  const ttl = options.get("ttl") ?? "";
  const ttlMillis = ttl === "" ? defaultTtlMillis : durationMillis(ttl);
  const jwt: JwtOptions = { signMethod, publicKey, privateKey, ttlMillis };
  jwtKeys(jwt);
  return jwt;
}

function optionsOf(pairs: readonly string[]): Map<string, string> {
  const options = new Map<string, string>();
  for (const pair of pairs) {
    const [name = "", value, ...more] = pair.split("=");
    if (value === undefined || more.length > 0) throw refuse(`"${pair}" is not name=value`);
    if (!knownOptions.has(name)) {
      throw refuse(`unknown option "${name}"; known are ${[...knownOptions].join(", ")}`);
    }
    if (options.has(name)) throw refuse(`${name} is given twice`);
    options.set(name, value);
  }
  return options;
}

async function fileOf(
  options: ReadonlyMap<string, string>,
  name: string,
): Promise<Buffer | undefined> {
  const file = options.get(name) ?? "";
  if (file === "") return undefined;
  try {
    return await readFile(file);
  } catch (thrown) {
    throw refuse(`${name}: ${(thrown as Error).message}`);
  }
}

/** Throws invalidArgument when a key is missing, or does not fit the method or the other key. */
export function jwtKeys({ signMethod, publicKey, privateKey }: JwtOptions): JwtKeys {
  if (signMethod.startsWith("HS")) {
    if (privateKey === undefined || privateKey.length === 0) throw missingKey("priv-key");
    return { verify: privateKey, sign: privateKey };
  }
  const sign =
    privateKey && parsed("priv-key", () => createPrivateKey(Buffer.from(privateKey)), signMethod);
  const given =
    publicKey === undefined
      ? undefined
      : parsed("pub-key", () => createPublicKey(publicKey), signMethod);
  const verify = sign === undefined ? given : createPublicKey(sign);
  if (verify === undefined) throw missingKey("pub-key or priv-key");
  if (given !== undefined && !given.equals(verify)) {
    throw refuse("pub-key, priv-key: auth: public and private keys don't match");
  }
  return { verify, sign };
}

function parsed(option: string, parse: () => KeyObject, signMethod: string): KeyObject {
  let key: KeyObject;
  try {
    key = parse();
  } catch (thrown) {
    throw refuse(`${option} is not a key in PEM: ${(thrown as Error).message}`);
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const is = `${option} is of type ${type}`;
  if (signMethod === "EdDSA") {
    if (type !== "ed25519") throw refuse(`${is}, but EdDSA needs ed25519`);
  } else if (signMethod.startsWith("ES")) {
    const curve = curves[signMethod];
    if (type !== "ec" || details?.namedCurve !== curve) {
      throw refuse(`${is} ${details?.namedCurve ?? ""}, but ${signMethod} needs ec ${curve}`);
    }
  } else if (type !== "rsa" || (details?.modulusLength ?? 0) < rsaBitsMin) {
    const bits = details?.modulusLength ?? 0;
    throw refuse(`${is} with ${bits} bits, but ${signMethod} needs rsa with ${rsaBitsMin} or more`);
  }
  return key;
}

const rsaBitsMin = 2048;
const curves: Readonly<Record<string, string>> = {
  ES256: "prime256v1",
  ES384: "secp384r1",
  ES512: "secp521r1",
};

const unitMillis: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** As Go writes durations: numbers with units, one behind the other. */
function durationMillis(text: string): number {
  if (!/^(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+$/.test(text)) {
    throw refuse(`ttl "${text}" is not a duration such as 5m or 1h30m`);
  }
  let millis = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)/g)) {
    millis += Number(number) * (unitMillis[unit ?? ""] ?? 0);
  }
  if (millis <= 0 || millis > Number.MAX_SAFE_INTEGER / 2) {
    throw refuse(`ttl "${text}" is not above zero, or too long`);
  }
  return millis;
}

function missingKey(option: string): StatusError {
  return refuse(`${option}: auth: missing key data`);
}

function refuse(text: string): StatusError {
  return new StatusError(Code.invalidArgument, `--auth-token: ${text}`);
}

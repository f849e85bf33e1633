/** The public keys of an OpenID Connect provider, fetched in the background. */
import { createPublicKey, type JsonWebKey } from "node:crypto";
import { get } from "node:https";
import { StatusError } from "../../../../ha/runtime/status-error.ts";
import type { Cancel, Clock, Log } from "../../../../ha/runtime/types.ts";
import { isObject } from "../../../kinds/machinery/json.ts";
import type { VerifyingKey } from "../jwt.ts";

/** The JSON that is found at a URL. Rejects with why there is none. */
export type FetchJson = (url: string) => Promise<unknown>;

const answerBytesMax = 256 * 1024;
const answerMillis = 10_000;
const keysMax = 64;
const refreshMillis = 3_600_000;
/** A token with an unknown key brings the next look forward, but not more often than this. */
const unknownKeyMillis = 30_000;
const retryMillis = 5_000;

const algorithms: Readonly<Record<string, string>> = { EC: "ES256", RSA: "RS256" };

export interface KeySourceOptions {
  readonly issuer: string;
  readonly fetch: FetchJson;
  readonly clock: Clock;
  readonly log: Log;
}

export class KeySource {
  readonly #options: KeySourceOptions;
  #keys = new Map<string, VerifyingKey>();
  #cancel: Cancel = () => {};
  #lastMillis = Number.NEGATIVE_INFINITY;
  #loading: Promise<void> | undefined;
  #closed = false;

  constructor(options: KeySourceOptions) {
    this.#options = options;
  }

  /** Begins to look; answers when the first look has ended, well or not. */
  start(): Promise<void> {
    return this.#load();
  }

  /** Undefined: it is not known now; if it may be new, the provider is asked soon. */
  keyOf(id: string): VerifyingKey | undefined {
    const known = this.#keys.get(id);
    if (known !== undefined) return known;
    const { clock } = this.#options;
    const old = clock.monotonicMillis() - this.#lastMillis >= unknownKeyMillis;
    if (old && this.#loading === undefined && !this.#closed) void this.#load();
    return undefined;
  }

  get ready(): boolean {
    return this.#keys.size > 0;
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
  }

  #load(): Promise<void> {
    this.#cancel();
    this.#lastMillis = this.#options.clock.monotonicMillis();
    this.#loading ??= this.#loadOnce().finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  async #loadOnce(): Promise<void> {
    const { clock, fetch, issuer, log } = this.#options;
    let next = refreshMillis;
    try {
      const base = issuer.replace(/\/$/, "");
      const configuration = await fetch(`${base}/.well-known/openid-configuration`);
      const { issuer: named, jwks_uri: uri } = isObject(configuration) ? configuration : {};
      if (named !== issuer) throw new Error(`it names another issuer: ${JSON.stringify(named)}`);
      if (typeof uri !== "string" || !uri.startsWith("https://")) {
        throw new Error("its jwks_uri is no URL that begins with https://");
      }
      this.#keys = keysOf(await fetch(uri));
      log.debug("the keys of the OpenID Connect provider are known", { keys: this.#keys.size });
    } catch (thrown) {
      next = retryMillis;
      const { message } = StatusError.from(thrown);
      log.warn("the keys of the OpenID Connect provider could not be read", { issuer, message });
    }
    if (!this.#closed) this.#cancel = clock.after(next, () => void this.#load());
  }
}

/** RFC 7517; keys for other uses or of other kinds are left out. */
function keysOf(document: unknown): Map<string, VerifyingKey> {
  const { keys } = isObject(document) ? document : {};
  if (!Array.isArray(keys)) throw new Error("its key set has no keys");
  const found = new Map<string, VerifyingKey>();
  for (const key of keys.slice(0, keysMax)) {
    if (!isObject(key) || typeof key["kid"] !== "string") continue;
    const algorithm = algorithms[String(key["kty"])];
    const other = key["alg"] !== undefined && key["alg"] !== algorithm;
    if (algorithm === undefined || other || (key["use"] ?? "sig") !== "sig") continue;
    if (algorithm === "ES256" && key["crv"] !== "P-256") continue;
    const publicKey = createPublicKey({ key: key as JsonWebKey, format: "jwk" });
    found.set(key["kid"], { algorithm, publicKey });
  }
  if (found.size === 0) throw new Error("its key set has no key for ES256 or RS256");
  return found;
}

/** Over HTTPS, bounded in time and size; redirections are not followed. */
export function httpsJson(ca: string | undefined): FetchJson {
  return (url) =>
    new Promise((resolve, reject) => {
      const request = get(url, { ca, timeout: answerMillis, agent: false }, (response) => {
        const pieces: Buffer[] = [];
        let bytes = 0;
        if (response.statusCode !== 200) {
          request.destroy(new Error(`${url} answers ${response.statusCode}`));
          return;
        }
        response.on("data", (piece: Buffer) => {
          bytes += piece.length;
          if (bytes > answerBytesMax) {
            request.destroy(new Error(`${url} answers with more than ${answerBytesMax} bytes`));
          } else pieces.push(piece);
        });
        response.on("error", reject);
        response.on("end", () => {
          try {
            resolve(JSON.parse(Buffer.concat(pieces).toString("utf8")));
          } catch {
            reject(new Error(`${url} answers with what is no JSON`));
          }
        });
      });
      const limit = setTimeout(() => {
        request.destroy(new Error(`${url} does not answer within ${answerMillis} ms`));
      }, answerMillis);
      request.on("close", () => clearTimeout(limit));
      request.on("error", reject);
    });
}

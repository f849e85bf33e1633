/**
 * Keeps a certificate fresh: asks for one where there is none, and for another one when most of its
 * life is over (client-go `util/certificate`).
 */
import { X509Certificate } from "node:crypto";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import type { WantedCertificate } from "../kinds/facts.ts";
import { type PemPair, readPairFile, writePairFile } from "./certificate-file.ts";
import {
  type CertificatePurpose,
  type RequestOptions,
  requestCertificate,
} from "./certificate-request.ts";
import { Backoff, type LoopClock, sleep } from "./clock.ts";

export interface CertificateManagerOptions {
  /** Certificate and key in PEM. */
  readonly file: string;
  readonly purpose: CertificatePurpose;
  readonly requests: RequestOptions["requests"];
  readonly clock: LoopClock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly log: Log;
  /** A new pair has been written. */
  readonly changed?: ((pair: PemPair) => void) | undefined;
}

/** Upstream's limits: a signer, or a person, may take its time. */
const waitMillisMax = 15 * 60_000;
const retryMillis = { first: 2_000, ceiling: 60_000 } as const;
/** Timers hold no more than 24 days, and clocks are set. */
const lookMillisMax = 3_600_000;

export class CertificateManager {
  readonly #options: CertificateManagerOptions;

  constructor(options: CertificateManagerOptions) {
    this.#options = options;
  }

  /**
   * What the file holds, if it is valid now and for every name and address that is wanted now. Rejects
   * for a file that holds something else.
   */
  async current(): Promise<PemPair | undefined> {
    const { file, clock, purpose } = this.#options;
    const pair = await readPairFile(file);
    if (pair === undefined) return undefined;
    const valid = clock.wallMillis() < lifeOf(pair.cert).notAfter;
    return valid && isForAllOf(pair.cert, purpose.wanted) ? pair : undefined;
  }

  /** The current pair, or a new one: tries until there is one or the signal aborts. */
  async obtain(signal: AbortSignal): Promise<PemPair | undefined> {
    const { clock, file, log } = this.#options;
    const backoff = new Backoff(retryMillis.first, retryMillis.ceiling);
    for (;;) {
      try {
        return (await this.current()) ?? (await this.renew(signal));
      } catch (thrown) {
        if (signal.aborted) return undefined;
        const error = StatusError.from(thrown).message;
        log.warn("no certificate could be had yet; trying again", { file, error });
        await sleep(clock, backoff.next(), signal);
        if (signal.aborted) return undefined;
      }
    }
  }

  /** Asks for a new pair and writes it. */
  async renew(signal: AbortSignal): Promise<PemPair> {
    const { purpose, requests, clock, file, changed } = this.#options;
    const options = { requests, clock, withinMillis: waitMillisMax, signal };
    const pair = await requestCertificate(purpose, options);
    await writePairFile(file, pair);
    changed?.(pair);
    return pair;
  }

  /** Renews the pair whenever its time has come, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, log, file } = this.#options;
    const backoff = new Backoff(retryMillis.first, retryMillis.ceiling);
    let pair = await this.obtain(signal);
    while (pair !== undefined && !signal.aborted) {
      const due = rotationTime(pair.cert, random());
      while (!signal.aborted && clock.wallMillis() < due) {
        await sleep(clock, Math.min(due - clock.wallMillis(), lookMillisMax), signal);
      }
      if (signal.aborted) return;
      try {
        pair = await this.renew(signal);
        backoff.reset();
        log.info("a certificate has been renewed", { file });
      } catch (thrown) {
        if (signal.aborted) return;
        const error = StatusError.from(thrown).message;
        log.warn("a certificate could not be renewed; trying again", { file, error });
        await sleep(clock, backoff.next(), signal);
      }
    }
  }
}

/** Unix milliseconds: when 70 to 90 % of the life of the certificate are over. */
export function rotationTime(cert: string, share: number): number {
  const { notBefore, notAfter } = lifeOf(cert);
  return notBefore + (notAfter - notBefore) * (0.7 + 0.2 * share);
}

function isForAllOf(cert: string, { dnsNames = [], addresses = [] }: WantedCertificate): boolean {
  const certificate = new X509Certificate(cert);
  return (
    dnsNames.every((name) => certificate.checkHost(name, { subject: "never" }) !== undefined) &&
    addresses.every((address) => certificate.checkIP(address) !== undefined)
  );
}

function lifeOf(cert: string): { readonly notBefore: number; readonly notAfter: number } {
  const { validFrom, validTo } = new X509Certificate(cert);
  const life = { notBefore: Date.parse(validFrom), notAfter: Date.parse(validTo) };
  if (Number.isFinite(life.notBefore + life.notAfter)) return life;
  throw new StatusError(Code.failedPrecondition, "a certificate has no readable dates");
}

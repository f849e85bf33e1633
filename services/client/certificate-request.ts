/** Asks the cluster for a certificate, and waits until it is signed. */
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { CertificateSigningRequest } from "../../proto/gen/certificates.ts";
import { createCertificateRequest, type WantedCertificate } from "../kinds/facts.ts";
import type { PemPair } from "./certificate-file.ts";
import { Backoff, type LoopClock, sleep } from "./clock.ts";
import type { ResourceClient } from "./types.ts";

/** What is asked of which signer. */
export interface CertificatePurpose {
  readonly wanted: WantedCertificate;
  /** E.g. `kubernetes.io/kube-apiserver-client-kubelet`. */
  readonly signerName: string;
  /** E.g. `client auth`. */
  readonly usages: readonly string[];
  /** Absent: the signer decides. */
  readonly expirationSeconds?: number | undefined;
}

export interface RequestOptions {
  readonly requests: Pick<ResourceClient<CertificateSigningRequest>, "create" | "get">;
  readonly clock: LoopClock;
  /** Beginning of the request's name; default `csr-`. */
  readonly prefix?: string | undefined;
  /** How long a decision is waited for. */
  readonly withinMillis: number;
  readonly signal?: AbortSignal | undefined;
}

const lookMillis = { first: 100, ceiling: 5_000 } as const;

/**
 * Makes a key, and answers it with its certificate. Rejects with a StatusError: permissionDenied
 * when the request is denied, failedPrecondition when its signer refuses it, deadlineExceeded when
 * neither happens in time, and cancelled when the signal aborts.
 */
export async function requestCertificate(
  purpose: CertificatePurpose,
  options: RequestOptions,
): Promise<PemPair> {
  const { requests, clock, prefix = "csr-", signal } = options;
  const { wanted, signerName, usages, expirationSeconds } = purpose;
  const key = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  }).privateKey;
  const pem = createCertificateRequest(createPrivateKey(key), wanted);
  const made = await requests.create(
    {
      metadata: { generateName: prefix },
      spec: {
        request: Buffer.from(pem).toString("base64"),
        signerName,
        usages: [...usages],
        ...(expirationSeconds !== undefined && { expirationSeconds }),
      },
    },
    { signal },
  );
  const name = made.metadata?.name ?? "";
  const deadline = clock.monotonicMillis() + options.withinMillis;
  const backoff = new Backoff(lookMillis.first, lookMillis.ceiling);
  for (;;) {
    const certificate = decisionOf(await requests.get(name, undefined, { signal }));
    if (certificate !== undefined) return { cert: certificate, key };
    const wait = backoff.next();
    if (clock.monotonicMillis() + wait > deadline) {
      const seconds = Math.round(options.withinMillis / 1_000);
      const text = `certificate request ${name} for ${wanted.commonName} is not signed after ${seconds} s`;
      throw new StatusError(Code.deadlineExceeded, text);
    }
    await sleep(clock, wait, signal);
    if (signal?.aborted) throw new StatusError(Code.cancelled, "the request was given up");
  }
}

/** The certificate in PEM; undefined while there is none. Throws what speaks against one. */
function decisionOf({ metadata, status }: CertificateSigningRequest): string | undefined {
  for (const { type, reason = "", message = "" } of status?.conditions ?? []) {
    if (type !== "Denied" && type !== "Failed") continue;
    const code = type === "Denied" ? Code.permissionDenied : Code.failedPrecondition;
    const what = type === "Denied" ? "is denied" : "has failed";
    const text = `certificate request ${metadata?.name} ${what}, reason: ${reason}, message: ${message}`;
    throw new StatusError(code, text);
  }
  const { certificate = "" } = status ?? {};
  return certificate === "" ? undefined : Buffer.from(certificate, "base64").toString("latin1");
}

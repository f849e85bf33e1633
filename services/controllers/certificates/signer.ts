/**
 * Signs approved requests with the cluster's certificate authority (upstream
 * `pkg/controller/certificates/signer`).
 */
import type {
  CertificateSigningRequest,
  CertificateSigningRequestStatus,
} from "../../../proto/gen/certificates.ts";
import { keyOf } from "../../client/mod.ts";
import { rfc3339Seconds, signCertificate } from "../../kinds/facts.ts";
import type { SigningAuthority } from "../../kinds/mod.ts";
import type { Controller } from "../types.ts";
import { contentOf, has } from "./requests.ts";
import { signerRules } from "./signer-rules.ts";

export interface SignerOptions {
  readonly authority: SigningAuthority;
  /** The life of a certificate whose request wants none or a longer one. */
  readonly durationMillis: number;
  readonly workers: number;
}

const minuteMillis = 60_000;
const durationMillisMin = 10 * minuteMillis;
/** A peer's clock may be a little behind. */
const backdateMillis = 5 * minuteMillis;
/** A certificate that lives less than this does not end earlier for being backdated. */
const shortMillis = 8 * 60 * minuteMillis;

export function certificateSigner(options: SignerOptions): Controller {
  return {
    name: "certificate-signer",
    informers: ["CertificateSigningRequest"],
    workers: options.workers,
    start({ client, clock, informer, log, on, queue, write }) {
      on("CertificateSigningRequest", {
        added: (request) => queue.add(keyOf(request)),
        updated: (_, request) => queue.add(keyOf(request)),
      });
      return async (name) => {
        const request = informer("CertificateSigningRequest").lister.get(name);
        if (request === undefined) return undefined;
        const change = planSigning(request, options, clock.wallMillis());
        if (change === undefined) return undefined;
        const status = { ...request.status, ...change };
        await client.certificateSigningRequests.updateStatus({ ...request, status }, write);
        const signer = request.spec?.signerName;
        log.info(
          change.certificate === undefined
            ? "a certificate request is not one that its signer signs"
            : "signed a certificate request",
          { request: name, signer },
        );
        return undefined;
      };
    },
  };
}

/** What is to be written into the request's status; undefined: nothing. */
function planSigning(
  request: CertificateSigningRequest,
  { authority, durationMillis }: SignerOptions,
  now: number,
): Partial<CertificateSigningRequestStatus> | undefined {
  const { signerName = "", usages = [], expirationSeconds } = request.spec ?? {};
  const rule = signerRules.get(signerName);
  if (rule === undefined || request.status?.certificate) return undefined;
  if (!has(request, "Approved") || has(request, "Denied") || has(request, "Failed")) {
    return undefined;
  }
  const content = contentOf(request);
  const refusal = content === undefined ? "the request cannot be read" : rule(content, usages);
  if (content === undefined || refusal !== undefined) {
    const failed = {
      ...{ type: "Failed", status: "True", reason: "SignerValidationFailure" },
      message: refusal,
      lastUpdateTime: rfc3339Seconds(now),
    };
    return { conditions: [...(request.status?.conditions ?? []), failed] };
  }
  const validity = validityOf(expirationSeconds, durationMillis, now);
  const authorityEnd = Date.parse(authority.certificate.validTo);
  if (now >= authorityEnd) {
    throw new Error(
      `the signing authority's certificate expired at ${rfc3339Seconds(authorityEnd)}`,
    );
  }
  const notAfter = Math.min(validity.notAfter, authorityEnd);
  const { notBefore } = validity;
  const pem = signCertificate(authority, { request: content, usages, notBefore, notAfter });
  return { certificate: Buffer.from(pem).toString("base64") };
}

/** As long as the request wants, from ten minutes to what the signer gives at most. */
export function validityOf(
  expirationSeconds: number | undefined,
  durationMillis: number,
  now: number,
): { readonly notBefore: number; readonly notAfter: number } {
  const wanted = expirationSeconds === undefined ? durationMillis : expirationSeconds * 1_000;
  const life = Math.min(Math.max(wanted, durationMillisMin), durationMillis);
  const notAfter = now + (life < shortMillis ? life : life - backdateMillis);
  return { notBefore: now - backdateMillis, notAfter };
}

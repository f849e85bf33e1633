import { X509Certificate } from "node:crypto";
import type { CertificateSigningRequest } from "../../../proto/gen/certificates.ts";
import { isConflict, isNotFound, keyOf } from "../../client/mod.ts";
import { parseTime } from "../../kinds/facts.ts";
import type { Controller } from "../types.ts";

const hourMillis = 3_600_000;
const decidedMillis = hourMillis;
const pendingMillis = 24 * hourMillis;

/**
 * Removes requests that have served their purpose (upstream `certificates/cleaner`): an hour after they
 * were issued, denied or failed, a day after they were made, or when their certificate expires.
 */
export function certificateCleaner(workers: number): Controller {
  return {
    name: "certificate-cleaner",
    informers: ["CertificateSigningRequest"],
    workers,
    start({ client, clock, informer, on, queue, write }) {
      on("CertificateSigningRequest", {
        added: (request) => queue.add(keyOf(request)),
        updated: (_, request) => queue.add(keyOf(request)),
      });
      return async (name) => {
        const request = informer("CertificateSigningRequest").lister.get(name);
        if (request === undefined) return undefined;
        const end = endOf(request);
        if (end === undefined) return undefined;
        const left = end - clock.wallMillis();
        // A longer wait is made in steps, as timers hold no more than 24 days.
        if (left > 0) return { after: Math.min(left, hourMillis) };
        const { uid = "", resourceVersion = "" } = request.metadata ?? {};
        try {
          const preconditions = { uid, resourceVersion };
          await client.certificateSigningRequests.delete(name, undefined, {
            ...write,
            preconditions,
          });
        } catch (error) {
          // Gone already, or decided this moment: then its event comes.
          if (!isNotFound(error) && !isConflict(error)) throw error;
        }
        return undefined;
      };
    },
  };
}

/** Unix milliseconds; undefined: it stays. */
export function endOf({ metadata, status }: CertificateSigningRequest): number | undefined {
  const conditions = status?.conditions ?? [];
  // An approved request waits for its signer, however long.
  const decided = ["Denied", "Failed", ...(status?.certificate ? ["Approved"] : [])];
  const ends = conditions
    .filter(({ type = "" }) => decided.includes(type))
    .map(({ lastUpdateTime }) => parseTime(lastUpdateTime))
    .filter((time) => time !== undefined)
    .map((time) => time + decidedMillis);
  if (conditions.length === 0) {
    const made = parseTime(metadata?.creationTimestamp);
    if (made !== undefined) ends.push(made + pendingMillis);
  }
  if (status?.certificate) {
    const certificate = new X509Certificate(Buffer.from(status.certificate, "base64"));
    ends.push(Date.parse(certificate.validTo));
  }
  return ends.length === 0 ? undefined : Math.min(...ends);
}

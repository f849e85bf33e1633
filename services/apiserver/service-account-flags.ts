/** The flags about tokens of service accounts, as `kube-apiserver` has them. */
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { formatDuration } from "../kinds/mod.ts";
import type { ServiceAccountTokenOptions } from "./auth/service-accounts/tokens.ts";
import { readPem } from "./open-store.ts";

export const defaultIssuer = "https://kubernetes.default.svc.cluster.local";

interface ServiceAccountFlags {
  readonly "service-account-signing-key-file"?: string | undefined;
  readonly "service-account-key-file"?: string | undefined;
  readonly "service-account-issuer": string;
  readonly "service-account-jwks-uri"?: string | undefined;
  readonly "api-audiences"?: string | undefined;
  readonly "service-account-max-token-expiration"?: string | undefined;
}

/** Undefined: neither a signing key nor keys are given, so there are no such tokens. */
export async function serviceAccountOptions(
  flags: ServiceAccountFlags,
): Promise<ServiceAccountTokenOptions | undefined> {
  const signing = flags["service-account-signing-key-file"];
  const files = listOf(flags["service-account-key-file"]);
  if (signing === undefined && files.length === 0) return undefined;
  const issuers = listOf(flags["service-account-issuer"]);
  if (issuers.length === 0) refuse("--service-account-issuer: at least one issuer is required");
  return {
    signingKey: signing && (await readPem("service-account-signing-key-file", signing)),
    keys: await Promise.all(files.map((file) => readPem("service-account-key-file", file))),
    issuers,
    audiences: listOf(flags["api-audiences"]),
    maxExpirationSeconds: secondsOf(flags["service-account-max-token-expiration"]),
    jwksUri: flags["service-account-jwks-uri"],
  };
}

function listOf(text = ""): string[] {
  return text.split(",").filter((each) => each !== "");
}

const unitSeconds = { h: 3_600, m: 60, s: 1 } as const;
const secondsMin = 3_600;
const secondsMax = 2 ** 32;

/** Upstream takes an hour to 2^32 seconds; 0 sets no limit. */
function secondsOf(text: string | undefined): number | undefined {
  if (text === undefined || text === "0") return undefined;
  const flag = "--service-account-max-token-expiration";
  const parts = [...text.matchAll(/(\d{1,10})([hms])/g)];
  if (parts.map(([part]) => part).join("") !== text) {
    refuse(`${flag}: "${text}" is no duration such as 24h or 90m`);
  }
  const seconds = parts.reduce((sum, [, count, unit]) => {
    return sum + Number(count) * unitSeconds[unit as keyof typeof unitSeconds];
  }, 0);
  if (seconds >= secondsMin && seconds <= secondsMax) return seconds;
  return refuse(`${flag}: ${formatDuration(1000 * seconds)} must be 1h to 2^32 seconds`);
}

function refuse(message: string): never {
  throw new StatusError(Code.invalidArgument, message);
}

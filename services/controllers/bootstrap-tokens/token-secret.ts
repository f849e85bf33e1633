/** Secrets of type `bootstrap.kubernetes.io/token`, with which machines join the cluster. */
import type { Secret } from "../../../proto/gen/core.ts";
import { parseTime } from "../../kinds/facts.ts";

export const tokenNamespace = "kube-system";
const secretType = "bootstrap.kubernetes.io/token";
const namePrefix = "bootstrap-token-";
const idForm = /^[a-z0-9]{6}$/;

export interface SigningToken {
  readonly id: string;
  readonly proof: string;
}

export function isTokenSecret(secret: Secret): boolean {
  return secret.type === secretType && secret.metadata?.namespace === tokenNamespace;
}

/** Unix milliseconds; undefined: never. What is no time has expired. */
export function expiryOf(secret: Secret): number | undefined {
  const text = field(secret, "expiration");
  if (text === "") return undefined;
  return parseTime(text) ?? 0;
}

/** Undefined: the secret is no valid token, or is not for signing. */
export function signingToken(secret: Secret, nowMillis: number): SigningToken | undefined {
  if (!isTokenSecret(secret) || secret.metadata?.deletionTimestamp !== undefined) return undefined;
  const id = field(secret, "token-id");
  const proof = field(secret, "token-secret");
  const wellFormed = idForm.test(id) && proof !== "";
  if (!wellFormed || secret.metadata?.name !== namePrefix + id) return undefined;
  if ((expiryOf(secret) ?? Number.POSITIVE_INFINITY) <= nowMillis) return undefined;
  return field(secret, "usage-bootstrap-signing") === "true" ? { id, proof } : undefined;
}

function field(secret: Secret, key: string): string {
  return Buffer.from(secret.data?.[key] ?? "", "base64").toString("utf8");
}

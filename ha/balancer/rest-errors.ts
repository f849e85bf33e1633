/** Errors that the balancer itself answers a REST call with. */
import { toStatusDocument } from "../rpc/status-details.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { BalancerLimits } from "./limits.ts";

export interface RestError {
  readonly status: number;
  /** Name and value alternately. */
  readonly fields: readonly string[];
  readonly body: Buffer;
}

/** Reasons of errors that pass: clients are told when to try again. */
const passing = new Map<Code, string>([
  [Code.unavailable, "ServiceUnavailable"],
  [Code.resourceExhausted, "TooManyRequests"],
]);

/** Kubernetes' `Status` in JSON. */
export function restErrorOf(
  code: Code,
  message: string,
  { retryAfterMillis }: BalancerLimits,
): RestError {
  const retryAfterSeconds = Math.ceil(retryAfterMillis / 1_000);
  const reason = passing.get(code);
  const detail = reason === undefined ? undefined : { reason, retryAfterSeconds };
  const document = toStatusDocument(new StatusError(code, message, detail));
  const body = Buffer.from(`${JSON.stringify(document)}\n`);
  const fields = ["content-type", "application/json", "content-length", String(body.length)];
  fields.push("cache-control", "no-cache, private");
  if (detail !== undefined) fields.push("retry-after", String(retryAfterSeconds));
  return { status: document.code ?? 500, fields, body };
}

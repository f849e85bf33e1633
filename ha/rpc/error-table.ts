/**
 * The one table between gRPC codes, Kubernetes' `Status.reason` and HTTP codes.
 *
 * Sources: grpc/grpc `doc/statuscodes.md`; `k8s.io/apimachinery/pkg/apis/meta/v1` StatusReason and
 * the HTTP codes its documentation gives them.
 */
import { Code, type StatusError } from "../runtime/status-error.ts";

interface ErrorRow {
  readonly code: Code;
  readonly reason: string;
  readonly http: number;
}

/**
 * The first row of a code is what an error without a reason gets; the first of a reason, its code.
 */
export const errorTable: readonly ErrorRow[] = [
  { code: Code.cancelled, reason: "ClientClosedRequest", http: 499 },
  { code: Code.unknown, reason: "Unknown", http: 500 },
  { code: Code.invalidArgument, reason: "BadRequest", http: 400 },
  { code: Code.invalidArgument, reason: "Invalid", http: 422 },
  { code: Code.invalidArgument, reason: "NotAcceptable", http: 406 },
  { code: Code.invalidArgument, reason: "UnsupportedMediaType", http: 415 },
  { code: Code.deadlineExceeded, reason: "Timeout", http: 504 },
  { code: Code.notFound, reason: "NotFound", http: 404 },
  { code: Code.alreadyExists, reason: "AlreadyExists", http: 409 },
  { code: Code.permissionDenied, reason: "Forbidden", http: 403 },
  { code: Code.resourceExhausted, reason: "TooManyRequests", http: 429 },
  { code: Code.resourceExhausted, reason: "RequestEntityTooLarge", http: 413 },
  { code: Code.aborted, reason: "Conflict", http: 409 },
  { code: Code.failedPrecondition, reason: "Conflict", http: 409 },
  { code: Code.outOfRange, reason: "Expired", http: 410 },
  { code: Code.outOfRange, reason: "Gone", http: 410 },
  { code: Code.unimplemented, reason: "MethodNotAllowed", http: 405 },
  { code: Code.internal, reason: "InternalError", http: 500 },
  { code: Code.unavailable, reason: "ServiceUnavailable", http: 503 },
  { code: Code.unavailable, reason: "ServerTimeout", http: 500 },
  { code: Code.dataLoss, reason: "DataLoss", http: 500 },
  { code: Code.unauthenticated, reason: "Unauthorized", http: 401 },
];

const byCode = new Map<Code, ErrorRow>();
const byCodeAndReason = new Map<string, ErrorRow>();
const byReason = new Map<string, ErrorRow>();
for (const row of errorTable) {
  if (!byCode.has(row.code)) byCode.set(row.code, row);
  if (!byReason.has(row.reason)) byReason.set(row.reason, row);
  byCodeAndReason.set(`${row.code} ${row.reason}`, row);
}

/** `Status.reason` of an error: its own, or what its code stands for. */
export function reasonOf(error: StatusError): string {
  return error.detail?.reason ?? byCode.get(error.code)?.reason ?? "Unknown";
}

/**
 * HTTP code of an error, by its code and reason; by its code alone for a reason not in the table.
 */
export function httpCodeOf(error: StatusError): number {
  if (error.detail?.httpCode !== undefined) return error.detail.httpCode;
  const exact = byCodeAndReason.get(`${error.code} ${reasonOf(error)}`);
  return (exact ?? byCode.get(error.code))?.http ?? 500;
}

/** The code that a `Status.reason` stands for; undefined for one that is not in the table. */
export function codeOfReason(reason: string): Code | undefined {
  return byReason.get(reason)?.code;
}

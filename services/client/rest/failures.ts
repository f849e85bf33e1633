/** What an apiserver's refusal becomes: the StatusError that its gRPC face would have given. */
import { CallFailure } from "../../../ha/rpc/call-failure.ts";
import { codeOfReason, errorTable } from "../../../ha/rpc/error-table.ts";
import { toStatusDetail } from "../../../ha/rpc/status-details.ts";
import { Code } from "../../../ha/runtime/status-error.ts";
import type { Status } from "../../../proto/gen/meta.ts";

/** Characters of an answer that is no Status which its error quotes. */
const quotedMax = 300;

function isStatus(value: unknown): value is Status {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "Status";
}

/** `retryAfter`: the header's text, in seconds. */
export function failureOfAnswer(
  status: number,
  body: string,
  retryAfter: string | undefined,
): CallFailure {
  const document = statusIn(body);
  const code = codeOfHttp(status);
  if (document === undefined) {
    const quote = body.trim().slice(0, quotedMax);
    return new CallFailure(code, `HTTP ${status}${quote === "" ? "" : `: ${quote}`}`, {
      pushbackMillis: pushback(retryAfter),
    });
  }
  return failureOfStatus(document, code, pushback(retryAfter));
}

/** Also of the ERROR events of watches. */
export function failureOfStatus(
  document: Status,
  otherwise: Code = codeOfHttp(document.code ?? 500),
  pushbackMillis?: number,
): CallFailure {
  const { reason = "", message = "" } = document;
  const detail = toStatusDetail(document);
  return new CallFailure(codeOfReason(reason) ?? otherwise, message, { detail, pushbackMillis });
}

function statusIn(body: string): Status | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return isStatus(value) ? value : undefined;
  } catch {
    // A proxy in between answers in its own words.
    return undefined;
  }
}

function codeOfHttp(status: number): Code {
  const row = errorTable.find(({ http }) => http === status);
  if (row !== undefined) return row.code;
  if (status >= 500) return Code.unavailable;
  return status >= 400 ? Code.invalidArgument : Code.unknown;
}

function pushback(retryAfter: string | undefined): number | undefined {
  return retryAfter !== undefined && /^\d{1,5}$/.test(retryAfter)
    ? 1_000 * Number(retryAfter)
    : undefined;
}

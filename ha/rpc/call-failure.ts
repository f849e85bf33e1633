import { type Code, type StatusDetail, StatusError } from "../runtime/status-error.ts";

export interface FailureFacts {
  /** The server has said that it had not begun the call. */
  readonly notBegun?: boolean | undefined;
  /** No answer came, for there is no connection to carry it: the call may have been done. */
  readonly unanswered?: boolean | undefined;
  /** How long the server asks the caller to wait; negative: the call is not to be repeated. */
  readonly pushbackMillis?: number | undefined;
  readonly detail?: StatusDetail | undefined;
  readonly cause?: unknown;
}

/** A call that failed, with what decides whether it may be repeated. */
export class CallFailure extends StatusError {
  readonly notBegun: boolean;
  readonly unanswered: boolean;
  readonly pushbackMillis: number | undefined;

  constructor(code: Code, message: string, facts: FailureFacts = {}) {
    const { detail, cause, notBegun = false, unanswered = false, pushbackMillis } = facts;
    super(code, message, detail, cause === undefined ? undefined : { cause });
    this.notBegun = notBegun;
    this.unanswered = unanswered;
    this.pushbackMillis = pushbackMillis;
  }
}

/** gRPC proposal A6: what is no whole number forbids to repeat the call. */
export function pushbackMillis(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  return /^\d{1,9}$/.test(text) ? Number(text) : -1;
}

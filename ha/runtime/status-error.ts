/** Canonical gRPC codes (grpc/grpc `doc/statuscodes.md`); the closed set of error codes. */
export const Code = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;
export type Code = (typeof Code)[keyof typeof Code];

/** Why one field of a document was refused; mirrors Kubernetes' `StatusCause`. */
export interface FieldCause {
  /** e.g. `FieldValueInvalid`, `FieldValueRequired`, `FieldValueForbidden`. */
  readonly reason: string;
  readonly message: string;
  /** Path in the document, e.g. `spec.containers[0].name`. */
  readonly field: string;
}

/** The Kubernetes part of an error: what `Status.reason` and `Status.details` carry. */
export interface StatusDetail {
  /** e.g. `NotFound`, `AlreadyExists`, `Conflict`, `Invalid`, `Expired`. */
  readonly reason: string;
  /** The HTTP code to answer with, where another program chose it; otherwise the reason's. */
  readonly httpCode?: number;
  readonly group?: string;
  readonly kind?: string;
  readonly name?: string;
  readonly causes?: readonly FieldCause[];
  readonly retryAfterSeconds?: number;
  /** Where a list whose revision is gone may go on, though inconsistently. */
  readonly continueToken?: string;
}

/**
 * The one expected error of Trireme. Everything that crosses a boundary is one, made with
 * {@link StatusError.from} where it is not already.
 */
export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly code: Code;
  readonly detail: StatusDetail | undefined;

  constructor(code: Code, message: string, detail?: StatusDetail, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.detail = detail;
  }

  /**
   * Wraps whatever was thrown. A grpc-js error keeps its code; anything unexpected is `unknown`.
   */
  static from(thrown: unknown): StatusError {
    if (thrown instanceof StatusError) return thrown;
    if (thrown instanceof Error) {
      const { code, details } = thrown as { code?: unknown; details?: unknown };
      if (typeof code === "number" && code >= 1 && code <= 16) {
        const text = typeof details === "string" ? details : thrown.message;
        return new StatusError(code as Code, text, undefined, { cause: thrown });
      }
      return new StatusError(Code.unknown, thrown.message, undefined, { cause: thrown });
    }
    return new StatusError(Code.unknown, String(thrown));
  }
}

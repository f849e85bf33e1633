/** One call at a time: its owner makes it once, and uses it again when it is over. */
export class Call {
  readonly #ended: (call: Call) => void;
  readonly #received: ((bytes: Buffer, start: number, end: number) => void) | undefined;
  /** How it ended: `OK`, the name of a gRPC code, or `HTTP 404`; empty while it is under way. */
  code = "";
  /** What the server says about it; at most some hundred characters. */
  message = "";
  /** `performance.now()`: when it was to be made, was sent, and is given up. */
  dueAt = 0;
  sentAt = 0;
  deadlineAt = 0;
  /** It is in the hands of a client. */
  active = false;
  /** Free for the maker. */
  tag = 0;
  round = 0;

  /**
   * `ended` is called once each time the call is over, and may use it again at once. `received` is
   * called with each piece of the answer's body.
   */
  constructor(
    ended: (call: Call) => void,
    received?: (bytes: Buffer, start: number, end: number) => void,
  ) {
    this.#ended = ended;
    this.#received = received;
  }

  begin(now: number, deadlineAt: number): void {
    this.sentAt = now;
    this.deadlineAt = deadlineAt;
    this.code = "";
    this.message = "";
    this.active = true;
  }

  piece(bytes: Buffer, start: number, end: number): void {
    this.#received?.(bytes, start, end);
  }

  end(code: string, message: string): void {
    if (!this.active) return;
    this.active = false;
    this.code = code;
    this.message = message;
    this.#ended(this);
  }
}

export const okCode = "OK";

/** By number (grpc/grpc `doc/statuscodes.md`). */
export const grpcCodes = [
  ...[okCode, "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND"],
  ...["ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"],
  ...["ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"],
  "UNAUTHENTICATED",
] as const;

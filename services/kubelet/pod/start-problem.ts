/** Why a container could not be started, in the words of its waiting state. */
export class StartProblem extends Error {
  override readonly name = "StartProblem";
  readonly reason: string;
  /** The event's text. */
  readonly event: string;
  /** When to try again; absent: after a pause that grows. */
  readonly retryMillis: number | undefined;

  constructor(reason: string, message: string, event = `Error: ${message}`, retryMillis?: number) {
    super(message);
    this.reason = reason;
    this.event = event;
    this.retryMillis = retryMillis;
  }
}

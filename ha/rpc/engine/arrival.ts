import { Code, StatusError } from "../../runtime/status-error.ts";
import type { DeadlineWheel, Expiring } from "./deadline-wheel.ts";

/** A message that has begun must have come in full in time: until then it holds its bytes. */
export class Arrival implements Expiring {
  readonly expiresAt: number;
  previous: Expiring | undefined;
  next: Expiring | undefined;
  readonly #deadlines: DeadlineWheel;
  readonly #millis: number;
  readonly #overdue: (error: StatusError) => void;

  constructor(deadlines: DeadlineWheel, millis: number, overdue: (error: StatusError) => void) {
    this.expiresAt = Date.now() + millis;
    this.#deadlines = deadlines;
    this.#millis = millis;
    this.#overdue = overdue;
    deadlines.add(this);
  }

  expire(): void {
    const text = `a message of the request did not come in full within ${this.#millis} ms`;
    this.#overdue(new StatusError(Code.deadlineExceeded, text));
  }

  stop(): void {
    this.#deadlines.remove(this);
  }
}

import { StatusError } from "../runtime/status-error.ts";

/**
 * What a handler throws that cannot begin yet, before it has read from a stream or changed anything:
 * it is called once more when `ready` has resolved. Elsewhere it is the error that it was made of.
 */
export class NotYet extends StatusError {
  readonly ready: () => Promise<unknown>;

  constructor({ code, message, detail }: StatusError, ready: () => Promise<unknown>) {
    super(code, message, detail);
    this.ready = ready;
  }
}

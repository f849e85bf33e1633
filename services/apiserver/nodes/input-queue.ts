/** What a client sends to one forwarded connection, until the kubelet takes it. */
import type { PortForwardRequest } from "../../../proto/gen/core.ts";
import { limits } from "../limits.ts";

export class InputQueue implements AsyncIterator<PortForwardRequest> {
  readonly #messages: PortForwardRequest[] = [];
  readonly #waiting: (() => void)[] = [];
  #bytes = 0;
  #ended = false;
  #wake: () => void = () => undefined;

  push(data: Buffer): void {
    if (this.#ended) return;
    this.#messages.push({ data });
    this.#bytes += data.length;
    this.#wake();
  }

  /** No more comes. Idempotent. */
  end(): void {
    this.#ended = true;
    this.#wake();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Drops what waits. */
  drop(): void {
    this.#messages.length = 0;
    this.#bytes = 0;
    this.end();
  }

  /** Resolves when there is room for more. */
  async ready(): Promise<void> {
    if (this.#ended || this.#bytes < limits.streamQueueBytes) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  async next(): Promise<IteratorResult<PortForwardRequest>> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) {
        this.#bytes -= message.data?.length ?? 0;
        if (this.#bytes < limits.streamQueueBytes) {
          for (const resolve of this.#waiting.splice(0)) resolve();
        }
        return { value: message, done: false };
      }
      if (this.#ended) return { value: undefined, done: true };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

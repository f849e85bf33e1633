/** What a client sends on one stream, until the kubelet takes it. */
import { limits } from "../limits.ts";

export class InputQueue<Message> implements AsyncIterator<Message> {
  readonly #messages: { readonly message: Message; readonly bytes: number }[] = [];
  readonly #waiting: (() => void)[] = [];
  #bytes = 0;
  #ended = false;
  #wake: () => void = () => undefined;

  /** `bytes`: what the message holds on to. */
  push(message: Message, bytes: number): void {
    if (this.#ended) return;
    this.#messages.push({ message, bytes });
    this.#bytes += bytes;
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

  async next(): Promise<IteratorResult<Message>> {
    for (;;) {
      const first = this.#messages.shift();
      if (first !== undefined) {
        this.#bytes -= first.bytes;
        if (this.#bytes < limits.streamQueueBytes) {
          for (const resolve of this.#waiting.splice(0)) resolve();
        }
        return { value: first.message, done: false };
      }
      if (this.#ended) return { value: undefined, done: true };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

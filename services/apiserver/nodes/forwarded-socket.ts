/** A forwarded connection as a Node stream, for what speaks a protocol on it. */
import { Duplex } from "node:stream";
import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { PortForwardRequest, PortForwardResponse } from "../../../proto/gen/core.ts";
import { InputQueue } from "./input-queue.ts";
import type { Forwarding } from "./port-forward.ts";

export class ForwardedSocket extends Duplex {
  readonly #input = new InputQueue<PortForwardRequest>();
  readonly #dropped = new AbortController();
  readonly #responses: AsyncGenerator<PortForwardResponse, void>;
  #reading = false;

  constructor(forwarding: Forwarding, port: number) {
    super({ allowHalfOpen: true });
    const { signal } = this.#dropped;
    this.#responses = forwarding.connect(port, this.#input, { signal });
  }

  override _write(data: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#input.push({ data }, data.length);
    void this.#whenTaken(done);
  }

  /** The queue's promise never rejects. */
  async #whenTaken(done: () => void): Promise<void> {
    await this.#input.ready();
    done();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#input.end();
    done();
  }

  override _read(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#next().then(
      (data) => {
        this.#reading = false;
        this.push(data ?? null);
      },
      (error: unknown) => this.destroy(StatusError.from(error)),
    );
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#input.drop();
    this.#dropped.abort();
    done(error);
  }

  /** What HTTP clients ask of a socket and a stream does not have. */
  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  /** Undefined: the pod sends no more. */
  async #next(): Promise<Buffer | undefined> {
    for (;;) {
      const step = await this.#responses.next();
      if (step.done || step.value.ended) return undefined;
      if (step.value.data?.length) return step.value.data;
    }
  }
}

import { type ReadyIterator, readyIterator } from "../../../../ha/rpc/mod.ts";
import { StatusError } from "../../../../ha/runtime/status-error.ts";

/**
 * The stream, once it has begun: `begun` resolves, or its first piece is there, or it has ended.
 * Rejects with what it throws before, but for Expired: upstream's clients look for that in the
 * stream.
 */
export async function opened<T>(
  stream: AsyncIterable<T>,
  begun: Promise<void>,
): Promise<ReadyIterator<T>> {
  const iterator = readyIterator(stream);
  const first = iterator.next();
  await Promise.race([begun, first]).catch((thrown: unknown) => {
    if (StatusError.from(thrown).detail?.reason !== "Expired") throw thrown;
  });
  return new Opened(first, iterator);
}

class Opened<T> implements ReadyIterator<T> {
  #first: Promise<IteratorResult<T>> | undefined;
  readonly #iterator: ReadyIterator<T>;

  constructor(first: Promise<IteratorResult<T>>, iterator: ReadyIterator<T>) {
    this.#first = first;
    this.#iterator = iterator;
  }

  ready(): T | undefined {
    return this.#first === undefined ? this.#iterator.ready() : undefined;
  }

  next(): Promise<IteratorResult<T>> {
    const first = this.#first;
    this.#first = undefined;
    return first ?? this.#iterator.next();
  }

  async return(): Promise<IteratorResult<T>> {
    await this.#iterator.return?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

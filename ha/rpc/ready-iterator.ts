/**
 * Iterators that may have their next value at once: a stream that gives thousands of values to
 * thousands of readers spends more on promises than on the values.
 */

export interface ReadyIterator<T> extends AsyncIterableIterator<T> {
  /**
   * Takes the value that `next` would answer with, if it is there already. Undefined: there is none,
   * or something else is to be told; `next` waits for it and tells. Not called while a `next` is
   * pending.
   */
  ready(): T | undefined;
}

/** The iterator of any iterable; `ready` of one that has nothing at once answers undefined. */
export function readyIterator<T>(iterable: AsyncIterable<T>): ReadyIterator<T> {
  const iterator = iterable[Symbol.asyncIterator]();
  return isReady(iterator) ? iterator : new Waiting(iterator);
}

/** The values of an iterable, each changed on its way. */
export function mapReady<T, Result>(
  iterable: AsyncIterable<T>,
  change: (value: T) => Result,
): ReadyIterator<Result> {
  return new Mapped(readyIterator(iterable), change);
}

function isReady<T>(iterator: AsyncIterator<T>): iterator is ReadyIterator<T> {
  return "ready" in iterator;
}

const done = { done: true, value: undefined } as const;

class Waiting<T> implements ReadyIterator<T> {
  readonly #iterator: AsyncIterator<T>;

  constructor(iterator: AsyncIterator<T>) {
    this.#iterator = iterator;
  }

  ready(): undefined {
    return undefined;
  }

  next(): Promise<IteratorResult<T>> {
    return this.#iterator.next();
  }

  return(): Promise<IteratorResult<T>> {
    return this.#iterator.return?.() ?? Promise.resolve(done);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

class Mapped<T, Result> implements ReadyIterator<Result> {
  readonly #iterator: ReadyIterator<T>;
  readonly #change: (value: T) => Result;

  constructor(iterator: ReadyIterator<T>, change: (value: T) => Result) {
    this.#iterator = iterator;
    this.#change = change;
  }

  ready(): Result | undefined {
    const value = this.#iterator.ready();
    return value === undefined ? undefined : this.#changed(value);
  }

  async next(): Promise<IteratorResult<Result>> {
    const step = await this.#iterator.next();
    return step.done ? done : { done: false, value: this.#changed(step.value) };
  }

  /** After a value that cannot be changed no more of them are wanted. */
  #changed(value: T): Result {
    try {
      return this.#change(value);
    } catch (thrown) {
      this.#iterator.return?.().catch(() => {
        // What it was told instead is on its way.
      });
      throw thrown;
    }
  }

  async return(): Promise<IteratorResult<Result>> {
    await this.#iterator.return?.();
    return done;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/**
 * The stream, once it has begun: `begun` resolves, or its first piece is there, or it has ended.
 * Rejects with what it throws before.
 */
export async function opened<T>(
  stream: AsyncIterable<T>,
  begun: Promise<void>,
): Promise<AsyncIterable<T>> {
  const iterator = stream[Symbol.asyncIterator]();
  const first = iterator.next();
  await Promise.race([begun, first]);
  return rest(first, iterator);
}

async function* rest<T>(
  first: Promise<IteratorResult<T, unknown>>,
  iterator: AsyncIterator<T, unknown>,
): AsyncGenerator<T, void> {
  try {
    for (let step = await first; !step.done; step = await iterator.next()) yield step.value;
  } finally {
    await iterator.return?.();
  }
}

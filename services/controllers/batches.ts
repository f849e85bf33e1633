/**
 * Runs `count` calls in batches of 1, 2, 4, …: where the first fails, a thousand others would have
 * failed alike (kubernetes `slowStartBatch`). Answers how many succeeded; the first error, if any.
 */
export async function slowStart(
  count: number,
  call: () => Promise<void>,
): Promise<{ readonly succeeded: number; readonly error?: unknown }> {
  let succeeded = 0;
  for (let size = 1; succeeded < count; size *= 2) {
    const batch = Math.min(size, count - succeeded);
    const results = await Promise.allSettled(Array.from({ length: batch }, call));
    const failed = results.find((result) => result.status === "rejected");
    succeeded += results.filter((result) => result.status === "fulfilled").length;
    if (failed) return { succeeded, error: failed.reason };
  }
  return { succeeded };
}

/**
 * Calls for every item, `parallel` at a time. All items are tried; rejects with the first error when
 * all calls have ended.
 */
export async function inParallel<T>(
  items: Iterable<T>,
  parallel: number,
  call: (item: T) => Promise<void>,
): Promise<void> {
  const pending = items[Symbol.iterator]();
  let failure: { readonly error: unknown } | undefined;
  const worker = async () => {
    for (let next = pending.next(); !next.done; next = pending.next()) {
      try {
        await call(next.value);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  if (failure) throw failure.error;
}

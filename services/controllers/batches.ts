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

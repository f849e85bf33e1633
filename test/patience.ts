/**
 * How long a test waits for what must come about. It is long: on a busy machine everything may
 * take its time, and a program that does the right thing loses nothing by it.
 */
export const patienceMillis = 90_000;

/** Waits until the condition holds, and answers what it did; fails with its name otherwise. */
export async function eventually<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  pauseMillis = 5,
): Promise<T> {
  const deadline = performance.now() + patienceMillis;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`not within ${patienceMillis} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pauseMillis));
  }
}

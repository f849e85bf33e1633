/** Numbers of objects: those made beforehand, and those of each thread, which never meet. */
const perThread = 100_000_000;
export const threadsMax = 64;

/** The i-th object that was made beforehand. */
export function filledName(i: number): number {
  return threadsMax * perThread + i;
}

/** Objects that are made while the watchers begin. */
export function signName(i: number): number {
  return (threadsMax + 1) * perThread + i;
}

export function firstName(thread: number): number {
  return thread * perThread;
}

/** A stable merge sort that can be done in steps. */

/** Runs of this length are sorted at once. */
const runLength = 1024;

/**
 * Answers the indices 0..length-1 in the order of `compare`; equal ones stay in ascending order. A
 * step ends after about `comparisonsPerStep` comparisons.
 */
export function* sortSteps(
  length: number,
  compare: (a: number, b: number) => number,
  comparisonsPerStep: number,
): Generator<void, Uint32Array> {
  let from = Uint32Array.from({ length }, (_, index) => index);
  let into = new Uint32Array(length);
  let done = 0;
  for (let start = 0; start < length; start += runLength) {
    const run = from.subarray(start, start + runLength);
    run.sort((a, b) => compare(a, b) || a - b);
    done += runLength * Math.log2(runLength);
    if (done < comparisonsPerStep) continue;
    done = 0;
    yield;
  }
  for (let width = runLength; width < length; width *= 2) {
    for (let start = 0; start < length; start += 2 * width) {
      const middle = Math.min(start + width, length);
      const end = Math.min(start + 2 * width, length);
      let left = start;
      let right = middle;
      for (let at = start; at < end; at++) {
        const takesLeft =
          right >= end ||
          (left < middle && compare(from[left] as number, from[right] as number) <= 0);
        into[at] = from[takesLeft ? left++ : right++] as number;
        if (++done < comparisonsPerStep) continue;
        done = 0;
        yield;
      }
    }
    [from, into] = [into, from];
  }
  return from;
}

/** Sets of a job's indexes, as their texts "1,3-5" say them. */

/** Indexes from `completions` on are left out: a job that shrank has them no longer. */
export function indexesOf(text: string | undefined, completions: number): Set<number> {
  const indexes = new Set<number>();
  for (const part of (text ?? "").split(",")) {
    const [first, last = first] = part.split("-").map(Number);
    if (part === "" || first === undefined || last === undefined) continue;
    for (let index = first; index <= Math.min(last, completions - 1); index++) indexes.add(index);
  }
  return indexes;
}

/** In rising order; three and more in a row become an interval. */
export function textOf(indexes: ReadonlySet<number>): string {
  const sorted = [...indexes].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let at = 0; at < sorted.length; ) {
    let end = at;
    while (sorted[end + 1] === (sorted[end] ?? 0) + 1) end++;
    if (end > at) parts.push(`${sorted[at]}${end === at + 1 ? "," : "-"}${sorted[end]}`);
    else parts.push(String(sorted[at]));
    at = end + 1;
  }
  return parts.join(",");
}

/** The first `count` indexes below `completions` that are in none of the sets. */
export function firstPending(
  count: number,
  completions: number,
  ...taken: readonly ReadonlySet<number>[]
): number[] {
  const pending: number[] = [];
  for (let index = 0; index < completions && pending.length < count; index++) {
    if (!taken.some((set) => set.has(index))) pending.push(index);
  }
  return pending;
}

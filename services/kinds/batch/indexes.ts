/** Lists of a job's indexes such as "1,3-5" (upstream `validateIndexesFormat`). */

interface Interval {
  readonly first: number;
  readonly last: number;
}

/** What is wrong with a list, or how many indexes it holds. */
export function parseIndexes(
  text: string,
  completions: number,
): { readonly total: number } | { readonly problem: string } {
  if (text === "") return { total: 0 };
  let total = 0;
  let previous: number | undefined;
  for (const part of text.split(",")) {
    const interval = parseInterval(part, completions);
    if ("problem" in interval) return interval;
    const { first, last } = interval;
    if (previous !== undefined && previous >= first) return notRising(previous, first);
    total += last - first + 1;
    previous = last;
  }
  return { total };
}

/** The first index that is in both lists; parts that cannot be read are left out. */
export function commonIndex(one: string, other: string, completions: number): number | undefined {
  const [left, right] = [intervals(one, completions), intervals(other, completions)];
  let [l, r] = [0, 0];
  for (;;) {
    const [a, b] = [left[l], right[r]];
    if (a === undefined || b === undefined) return undefined;
    if (a.first <= b.last && b.first <= a.last) return Math.max(a.first, b.first);
    if (a.first <= b.first) l += 1;
    else r += 1;
  }
}

function intervals(text: string, completions: number): Interval[] {
  return text.split(",").flatMap((part) => {
    const interval = parseInterval(part, completions);
    return "problem" in interval ? [] : [interval];
  });
}

function parseInterval(text: string, completions: number): Interval | { problem: string } {
  const parts = text.split("-");
  const [first, last] = parts.map((part) => parseIndex(part, completions));
  if (parts.length > 2) {
    const rule = "an index interval can have at most two parts separated by '-'";
    return {
      problem: `the fragment ${JSON.stringify(text)} violates the requirement that ${rule}`,
    };
  }
  if (first === undefined || typeof first === "string") return { problem: first ?? "" };
  if (last === undefined) return { first, last: first };
  if (typeof last === "string") return { problem: last };
  return first >= last ? notRising(first, last) : { first, last };
}

function parseIndex(text: string, completions: number): number | string {
  if (!/^\+?\d{1,18}$/.test(text)) {
    return `cannot convert string to integer for index: ${JSON.stringify(text)}`;
  }
  return Number(text) < completions ? Number(text) : `too large index: ${JSON.stringify(text)}`;
}

function notRising(previous: number, current: number): { problem: string } {
  return { problem: `non-increasing order, previous: ${previous}, current: ${current}` };
}

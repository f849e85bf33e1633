/**
 * Schedules of cron jobs, in the dialect of robfig/cron v3 that upstream reads, whose words tell
 * what is wrong. Other dialects differ in small things: here 7 is no day of the week, `3/5` means
 * from 3 on every 5, and L, W and # are unknown.
 */

/** How a schedule goes on. */
export type Schedule =
  /** Five fields of numbers, lists and stars, in which every cron library agrees. */
  | { readonly pattern: string }
  /** So many seconds after the last time. */
  | { readonly everySeconds: number };

interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly names: readonly string[];
}

/** Minute, hour, day of the month, month, day of the week. Names count from the minimum. */
const fields: readonly Bounds[] = [
  { min: 0, max: 59, names: [] },
  { min: 0, max: 23, names: [] },
  { min: 1, max: 31, names: [] },
  {
    min: 1,
    max: 12,
    names: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
  },
  { min: 0, max: 6, names: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

const descriptors: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};

const lengthMax = 1_024;

/** The schedule, or what is wrong with its text. */
export function parseSchedule(text: string): Schedule | { readonly problem: string } {
  if (text.length > lengthMax) return { problem: `may not be more than ${lengthMax} characters` };
  try {
    return scheduleOf(withoutTimeZone(text));
  } catch (thrown) {
    if (thrown instanceof Problem) return { problem: thrown.message };
    throw thrown;
  }
}

/** Ends the parsing; never leaves this file. */
class Problem extends Error {}

function withoutTimeZone(text: string): string {
  const match = /^(?:CRON_)?TZ=(\S*)\s(.*)$/.exec(text);
  if (match === null) return text;
  const [, zone = "", rest = ""] = match;
  if (isTimeZone(zone)) return rest.trim();
  throw new Problem(`provided bad location ${zone}: unknown time zone ${zone}`);
}

/** Whether the name is in the IANA time zone database. */
export function isTimeZone(name: string): boolean {
  // An offset such as +02:00 is a time zone to Intl and none to the database.
  if (name === "" || /^[+-]/.test(name)) return false;
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch (thrown) {
    if (thrown instanceof RangeError) return false;
    throw thrown;
  }
}

function scheduleOf(text: string): Schedule {
  if (text === "") throw new Problem("empty spec string");
  if (text.startsWith("@")) {
    const pattern = Object.hasOwn(descriptors, text) ? descriptors[text] : undefined;
    if (pattern !== undefined) return { pattern };
    if (text.startsWith("@every ")) return { everySeconds: secondsOf(text.slice(7), text) };
    throw new Problem(`unrecognized descriptor: ${text}`);
  }
  const parts = text.split(/\s+/).filter((part) => part !== "");
  if (parts.length !== fields.length) {
    const found = `found ${parts.length}: [${parts.join(" ")}]`;
    throw new Problem(`expected exactly ${fields.length} fields, ${found}`);
  }
  return { pattern: fields.map((bounds, index) => fieldOf(parts[index] ?? "", bounds)).join(" ") };
}

const unitSeconds: Readonly<Record<string, number>> = {
  ns: 1e-9,
  us: 1e-6,
  µs: 1e-6,
  μs: 1e-6,
  ms: 1e-3,
  s: 1,
  m: 60,
  h: 3_600,
};

/** A duration as Go writes it, e.g. `1h30m`; whole seconds, at least one. */
function secondsOf(text: string, schedule: string): number {
  const wrong = (why: string) =>
    new Problem(`failed to parse duration ${schedule}: time: ${why} ${JSON.stringify(text)}`);
  const sign = /^[+-]/.exec(text)?.[0] ?? "";
  const body = text.slice(sign.length);
  if (body === "0") return 1;
  if (!/^(?:(?:\d+\.?\d*|\.\d+)[a-zµμ]+)+$/.test(body)) {
    throw wrong(
      /^(?:\d+\.?\d*|\.\d+)+$/.test(body) ? "missing unit in duration" : "invalid duration",
    );
  }
  let seconds = 0;
  for (const [, amount, unit = ""] of body.matchAll(/(\d+\.?\d*|\.\d+)([a-zµμ]+)/g)) {
    const factor = Object.hasOwn(unitSeconds, unit) ? unitSeconds[unit] : undefined;
    if (factor === undefined) throw wrong(`unknown unit ${JSON.stringify(unit)} in duration`);
    seconds += Number(amount) * factor;
  }
  return sign === "-" ? 1 : Math.max(1, Math.trunc(seconds));
}

/** The numbers of one field, or a star. */
function fieldOf(text: string, bounds: Bounds): string {
  const numbers = new Set<number>();
  let star = false;
  for (const part of text.split(",").filter((each) => each !== "")) {
    const range = rangeOf(part, bounds);
    star ||= range.star;
    for (let number = range.start; number <= range.end; number += range.step) numbers.add(number);
  }
  if (star) return "*";
  if (numbers.size === 0) throw new Problem(`no value in field: ${text}`);
  return [...numbers].sort((one, other) => one - other).join(",");
}

interface Range {
  readonly start: number;
  readonly end: number;
  readonly step: number;
  /** Everything, said by a star: whether days of month and week are both restricted matters. */
  readonly star: boolean;
}

function rangeOf(text: string, bounds: Bounds): Range {
  const slashes = text.split("/");
  const [range = "", stepText] = slashes;
  const hyphens = range.split("-");
  const [low = "", high] = hyphens;
  const everything = low === "*" || low === "?";
  if (!everything && hyphens.length > 2) throw new Problem(`too many hyphens: ${text}`);
  const start = everything ? bounds.min : numberOf(low, bounds);
  let end = everything ? bounds.max : high === undefined ? start : numberOf(high, bounds);
  if (slashes.length > 2) throw new Problem(`too many slashes: ${text}`);
  const step = stepText === undefined ? 1 : integerOf(stepText);
  if (stepText !== undefined && hyphens.length === 1) end = bounds.max;
  if (start < bounds.min) {
    throw new Problem(`beginning of range (${start}) below minimum (${bounds.min}): ${text}`);
  }
  if (end > bounds.max) {
    throw new Problem(`end of range (${end}) above maximum (${bounds.max}): ${text}`);
  }
  if (start > end) {
    throw new Problem(`beginning of range (${start}) beyond end of range (${end}): ${text}`);
  }
  if (step === 0) throw new Problem(`step of range should be a positive number: ${text}`);
  return { start, end, step, star: everything && step === 1 };
}

function numberOf(text: string, { names, min }: Bounds): number {
  const named = names.indexOf(text.toLowerCase());
  return named < 0 ? integerOf(text) : named + min;
}

function integerOf(text: string): number {
  const parsing = `strconv.Atoi: parsing ${JSON.stringify(text)}`;
  if (!/^[+-]?\d+$/.test(text)) {
    throw new Problem(`failed to parse int from ${text}: ${parsing}: invalid syntax`);
  }
  const number = Number(text);
  if (!Number.isSafeInteger(number)) {
    throw new Problem(`failed to parse int from ${text}: ${parsing}: value out of range`);
  }
  if (number < 0) throw new Problem(`negative number (${number}) not allowed: ${text}`);
  return number;
}

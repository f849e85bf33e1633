/** Times as Kubernetes writes them, and ages as kubectl prints them. */

/** RFC 3339 in UTC with whole seconds, e.g. `2026-11-23T10:29:00Z`: metadata and conditions. */
export function rfc3339Seconds(unixMillis: number): string {
  const second = Math.floor(unixMillis / 1000);
  if (second !== lastSecond) {
    lastText = `${new Date(unixMillis).toISOString().slice(0, 19)}Z`;
    lastSecond = second;
  }
  return lastText;
}

/** Servers write the same second thousands of times. */
let lastSecond = Number.NaN;
let lastText = "";

/**
 * RFC 3339 in UTC with six decimals, as in a Lease. `micros` are those below the millisecond,
 * 0..999.
 */
export function rfc3339Micro(unixMillis: number, micros = 0): string {
  const millis = Math.floor(unixMillis);
  const tail = String(micros).padStart(3, "0");
  return `${new Date(millis).toISOString().slice(0, 23)}${tail}Z`;
}

const rfc3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;

/** Unix milliseconds of an RFC 3339 time; undefined if it is none. */
export function parseTime(text: string | undefined): number | undefined {
  if (text === undefined || !rfc3339.test(text)) return undefined;
  const millis = Date.parse(text);
  if (Number.isNaN(millis)) return undefined;
  const day = Number(text.slice(8, 10));
  // Date.parse rolls 30 February over into March; a time that does not exist is no time.
  const [year, month] = [Number(text.slice(0, 4)), Number(text.slice(5, 7))];
  if (day > new Date(Date.UTC(year, month, 0)).getUTCDate()) return undefined;
  return millis;
}

/** Time since `timestamp` as in kubectl's AGE columns; `<unknown>` without a valid time. */
export function age(timestamp: string | undefined, nowMillis: number): string {
  const then = parseTime(timestamp);
  return then === undefined ? "<unknown>" : formatDuration(nowMillis - then);
}

/**
 * A duration at the precision kubectl shows: two units while the second one matters, one later
 * (apimachinery `duration.HumanDuration`).
 */
export function formatDuration(millis: number): string {
  const seconds = Math.trunc(millis / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 10) return pair(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.trunc(minutes / 60);
  if (hours < 8) return pair(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.trunc(hours / 24);
  if (hours < 24 * 8) return pair(days, "d", hours % 24, "h");
  if (hours < 24 * 365 * 2) return `${days}d`;
  const years = Math.trunc(days / 365);
  if (hours < 24 * 365 * 8) return pair(years, "y", days % 365, "d");
  return `${years}y`;
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
}

/** Durations as Go writes them: `1h30m`, `-1.5s`, `300ms`. */

const unitNanos: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

const part = /(\d+)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)|\.(\d+)(ns|us|µs|μs|ms|s|m|h)/y;
const nanosMax = 2n ** 63n - 1n;
const lengthMax = 64;

/** Nanoseconds; undefined for what is no duration, or more than an int64 holds. */
export function parseGoDuration(text: string): bigint | undefined {
  const sign = text.startsWith("-") ? -1n : 1n;
  const body = /^[+-]/.test(text) ? text.slice(1) : text;
  if (body === "0") return 0n;
  if (body === "" || body.length > lengthMax) return undefined;
  let total = 0n;
  let position = 0;
  while (position < body.length) {
    part.lastIndex = position;
    const match = part.exec(body);
    if (match === null) return undefined;
    const [all, whole = "0", decimals = "", unit, tenths = "", smallUnit] = match;
    const nanos = unitNanos[unit ?? smallUnit ?? ""] ?? 0n;
    const digits = (decimals + tenths).slice(0, 18);
    total += BigInt(whole) * nanos;
    if (digits !== "") total += (BigInt(digits) * nanos) / 10n ** BigInt(digits.length);
    position += all.length;
  }
  return total > nanosMax ? undefined : sign * total;
}

const longForm =
  /^\s*(?:\d+\s*(?:w|d|h|m|s|ms|us|µs|ns|(?:week|wk|day|dy|hour|hr|minute|min|second|sec|milli|millisecond|micro|microsecond|nano|nanosecond)s?)\s*)+$/i;

/** As the format `duration` of a schema: Go's form, or words such as `3 days`. */
export function isDuration(text: string): boolean {
  if (parseGoDuration(text) !== undefined) return true;
  return text.length <= lengthMax && longForm.test(text);
}

/** As Go prints it: `5.001s`, `1m0s`, `1h2m3.5s`. Of whole milliseconds, not negative. */
export function formatGoDuration(millis: number): string {
  if (millis > 0 && millis < 1_000) return `${millis}ms`;
  const minutes = Math.floor(millis / 60_000);
  const seconds = `${(millis - minutes * 60_000) / 1_000}s`;
  if (minutes === 0) return seconds;
  const hours = Math.floor(minutes / 60);
  return hours === 0 ? `${minutes}m${seconds}` : `${hours}h${minutes % 60}m${seconds}`;
}

import { Code, StatusError } from "../../ha/runtime/status-error.ts";

const unitMillis: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of a duration in Go's notation: `15s`, `500ms`, `1m30s`, `1.5h`, `0`. */
export function parseDuration(text: string, field: string): number {
  if (text === "0") return 0;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/gy)];
  const length = parts.reduce((sum, [whole]) => sum + whole.length, 0);
  if (parts.length === 0 || length !== text.length) {
    throw new StatusError(
      Code.invalidArgument,
      `${field}: "${text}" is not a duration such as 15s, 500ms or 1m30s`,
    );
  }
  return parts.reduce(
    (sum, [, number, unit]) => sum + Number(number) * (unitMillis[unit ?? ""] ?? 0),
    0,
  );
}

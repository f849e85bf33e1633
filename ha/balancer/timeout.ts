/** The `grpc-timeout` header: up to eight digits and a unit (grpc/grpc `doc/PROTOCOL-HTTP2.md`). */
import { Code, StatusError } from "../runtime/status-error.ts";

const unitMillis: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** Milliseconds, or undefined without a header. Throws a StatusError. */
export function parseTimeout(header: string | readonly string[] | undefined): number | undefined {
  if (header === undefined) return undefined;
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(String(header)) ?? [];
  if (digits === undefined || unit === undefined) {
    const text = `grpc-timeout "${header}": up to 8 digits and one of H M S m u n are wanted`;
    throw new StatusError(Code.invalidArgument, text);
  }
  return Number(digits) * (unitMillis[unit] ?? 1);
}

/** At least 1 ms, rounded up. */
export function formatTimeout(millis: number): string {
  const whole = Math.max(1, Math.ceil(millis));
  return whole < 100_000_000 ? `${whole}m` : `${Math.ceil(whole / 1_000)}S`;
}

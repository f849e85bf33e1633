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

/** Milliseconds. Throws a StatusError. */
export function parseTimeout(header: string): number {
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(header) ?? [];
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

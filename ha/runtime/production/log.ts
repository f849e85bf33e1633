import { destination, type Logger, pino, stdTimeFunctions } from "pino";
import type { Log } from "../types.ts";

export const LogLevel = { debug: "debug", info: "info", warn: "warn", error: "error" } as const;
export type LogLevel = (typeof LogLevel)[keyof typeof LogLevel];

export interface LogOptions {
  /** Lines below this level are not made. Default `info`. */
  readonly level?: LogLevel | "silent";
  /** An open file descriptor; default 2, standard error. */
  readonly descriptor?: number;
}

/**
 * A log whose every line carries `fields`, e.g. `{ member: "master-0" }`.
 *
 * JSON lines, written synchronously to a file descriptor. Transports would need a thread of their
 * own per log; a plain descriptor works alike in the main thread and in workers, and the last line
 * before a crash is not lost.
 */
export function createLog(
  fields: Readonly<Record<string, unknown>> = {},
  options: LogOptions = {},
): Log {
  const logger = pino(
    {
      level: options.level ?? LogLevel.info,
      base: fields,
      timestamp: stdTimeFunctions.isoTime,
      messageKey: "text",
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: describeError },
    },
    destination({ fd: options.descriptor ?? 2, sync: true }),
  );
  return wrap(logger);
}

function wrap(logger: Logger): Log {
  return {
    debug: (text, fields) => logger.debug(fields ?? {}, text),
    info: (text, fields) => logger.info(fields ?? {}, text),
    warn: (text, fields) => logger.warn(fields ?? {}, text),
    error: (text, fields) => logger.error(fields ?? {}, text),
    child: (fields) => wrap(logger.child(fields)),
  };
}

/** An `Error` has no enumerable fields, so JSON would show `{}`. */
function describeError(value: unknown): unknown {
  return value instanceof Error ? (value.stack ?? value.message) : value;
}

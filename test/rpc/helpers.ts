import type { Log } from "../../ha/runtime/types.ts";

export interface LogLine {
  readonly level: string;
  readonly text: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A log that keeps its lines. */
export function memoryLog(lines: LogLine[] = [], base: Record<string, unknown> = {}): Log {
  const at =
    (level: string) =>
    (text: string, fields: Readonly<Record<string, unknown>> = {}) => {
      lines.push({ level, text, fields: { ...base, ...fields } });
    };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => memoryLog(lines, { ...base, ...fields }),
  };
}

/** A promise and its switches. */
export function deferred<T = void>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: Error) => void;
} {
  let resolve: (value: T) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

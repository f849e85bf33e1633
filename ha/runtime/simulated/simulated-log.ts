import type { Log } from "../types.ts";

/** The last lines of one member, over all its lives: evidence for a failed run. */
export class LogCollector {
  readonly #capacity: number;
  readonly #lines: string[] = [];
  #next = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(line: string): void {
    this.#lines[this.#next % this.#capacity] = line;
    this.#next += 1;
  }

  /** Oldest first. */
  lines(): string[] {
    if (this.#next <= this.#capacity) return [...this.#lines];
    const oldest = this.#next % this.#capacity;
    return [...this.#lines.slice(oldest), ...this.#lines.slice(0, oldest)];
  }
}

export function collectingLog(
  name: string,
  collector: LogCollector,
  nowMicros: () => number,
  fields: Readonly<Record<string, unknown>> = {},
): Log {
  const write = (level: string) => (text: string, more?: Readonly<Record<string, unknown>>) => {
    const at = (nowMicros() / 1_000).toFixed(3).padStart(10);
    const all = Object.entries({ ...fields, ...more });
    const shown = all.map(([key, value]) => ` ${key}=${describe(value)}`).join("");
    collector.add(`${at} ms ${name} ${level} ${text}${shown}`);
  };
  return {
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    child: (more) => collectingLog(name, collector, nowMicros, { ...fields, ...more }),
  };
}

function describe(value: unknown): string {
  if (value instanceof Error) return value.message;
  if (typeof value === "string") return value;
  if (typeof value === "bigint") return String(value);
  return JSON.stringify(value) ?? "undefined";
}

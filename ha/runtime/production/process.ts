/**
 * One program of the cluster: its flags, its start, its orderly end. Every `main.ts` is a value of
 * type {@link Program}; `runProgram` gives them all the same manners.
 */
import { writeFileSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { parseArgs } from "node:util";
import { processMetrics } from "../metrics.ts";
import { StatusError } from "../status-error.ts";
import { defaultTimers } from "../timers.ts";
import type { Log } from "../types.ts";
import { collectLater } from "./garbage.ts";
import { createLog } from "./log.ts";
import { type Tracing, traceFlags, tracingOf } from "./otlp.ts";

interface Flag {
  readonly type: "string" | "number" | "boolean";
  /** Absent and not `required`: the value may be undefined. */
  readonly default?: string | number | boolean;
  readonly required?: true;
  /** A text that may be given several times; its value is the list of them, perhaps empty. */
  readonly repeated?: true;
  readonly help: string;
}

export type Flags = Readonly<Record<string, Flag>>;

type ValueOf<F extends Flag> = F["type"] extends "number"
  ? number
  : F["type"] extends "boolean"
    ? boolean
    : string;
type Present<F extends Flag> = F extends { repeated: true }
  ? readonly string[]
  : F extends { required: true } | { default: string | number | boolean }
    ? ValueOf<F>
    : ValueOf<F> | undefined;
export type FlagValues<F extends Flags> = { readonly [Name in keyof F]: Present<F[Name]> };

export interface Running {
  /** Hands over, drains and closes; called once, on SIGTERM or SIGINT, or after `ended`. */
  stop(): Promise<void>;
  /** Resolves, if ever, with why this program has nothing more to do: its process then ends. */
  readonly ended?: Promise<NoRestartError>;
}

/** Starting the program again does not help: a person has to act first. */
export class NoRestartError extends Error {
  override readonly name = "NoRestartError";
}

/** Exit code after a {@link NoRestartError}. */
export const noRestartExitCode = 3;

export interface Program<F extends Flags = Flags> {
  /** As in `trireme <name>`. */
  readonly name: string;
  readonly summary: string;
  readonly flags: F;
  /** Whether it takes the flags of tracing; default: it does. */
  readonly traced?: false;
  /** `tracing`: of this process; undefined: it traces nothing. */
  start(values: FlagValues<F>, log: Log, tracing?: Tracing): Promise<Running>;
}

/** Keeps the flag types of a program literal. */
export function program<const F extends Flags>(definition: Program<F>): Program<F> {
  return definition;
}

/** How long `stop` may take before the process ends anyway. */
const stopMillisMax = defaultTimers.processStop;

/**
 * Parses flags, starts the program and stays until a signal stops it. Exit codes: 0 stopped in
 * order, 1 failed, 2 bad flags, 3 failed for a reason that a restart does not mend.
 */
export async function runProgram<F extends Flags>(
  definition: Program<F>,
  args: readonly string[],
): Promise<void> {
  let values: FlagValues<F>;
  const isTraced = definition.traced !== false;
  const flags = { ...definition.flags, ...(isTraced && traceFlags) };
  try {
    if (args.includes("--help") || args.includes("-h")) {
      process.stdout.write(usage({ ...definition, flags }));
      return;
    }
    values = parseFlags(flags, args);
  } catch (error) {
    process.stderr.write(`trireme ${definition.name}: ${StatusError.from(error).message}\n`);
    process.exitCode = 2;
    return;
  }
  nameProcess(definition.name);
  const log = createLog({ component: definition.name, pid: process.pid });
  const fail = (text: string) => (error: unknown) => {
    log.error(text, { error: error instanceof Error ? (error.stack ?? error.message) : error });
    process.exit(1);
  };
  process.on("uncaughtException", fail("an unexpected error ends this process"));
  process.on("unhandledRejection", fail("an unhandled rejection ends this process"));
  collectLater();
  let running: Running | undefined;
  let tracing: Tracing | undefined;
  let stopping = false;
  const stop = (exitCode: number) => {
    if (stopping) return;
    stopping = true;
    // It is still starting: it serves no callers, and its data outlive any end.
    if (!running) process.exit(exitCode);
    setTimeout(() => {
      log.error("did not stop in time", { stopMillisMax });
      process.exit(1);
    }, stopMillisMax).unref();
    const stopped = running.stop().then(() => tracing?.close());
    stopped.then(() => process.exit(exitCode), fail("could not stop in order"));
  };
  process.once("SIGTERM", () => stop(0));
  process.once("SIGINT", () => stop(0));
  if (process.env["TRIREME_SUPERVISED"] === "1") {
    // The supervisor holds the other end of this pipe: it closes when the supervisor dies.
    const end = () => stop(0);
    process.stdin.on("end", end).on("error", end).resume();
  }
  try {
    if (isTraced) tracing = tracingOf(values, definition.name, log);
    tracing?.addMetrics(processMetrics);
    running = await definition.start(values, log, tracing);
  } catch (error) {
    const { message } = StatusError.from(error);
    process.stderr.write(`trireme ${definition.name}: ${message}\n`);
    if (error instanceof NoRestartError) process.exit(noRestartExitCode);
    fail("could not start")(error);
    return;
  }
  // What was compiled for the start serves the next one, even if this process is killed.
  flushCompileCache();
  running.ended?.then((why) => {
    log.error("this process ends", { why: why.message });
    process.stderr.write(`trireme ${definition.name}: ${why.message}\n`);
    stop(noRestartExitCode);
  }, fail("an unhandled rejection ends this process"));
}

/** Environment variable by which a supervisor tells a program what it is called, e.g. `master-0`. */
export const nameVariable = "TRIREME_NAME";

/**
 * Names the process in `ps` and `top` by what the supervisor calls it, or else by its component.
 * Only the short name is changed, where the system has one: the command line keeps its flags.
 */
export function nameProcess(component: string): void {
  const name = process.env[nameVariable] ?? component;
  try {
    writeFileSync("/proc/self/comm", name.slice(0, commLengthMax));
  } catch {
    process.title = `trireme ${name}`; // Not Linux: there is only the title.
  }
}

const commLengthMax = 15;

/** Throws an Error that names the flag and its value. */
export function parseFlags<F extends Flags>(flags: F, args: readonly string[]): FlagValues<F> {
  const { values } = parseArgs({
    args: args.flatMap((arg) => plainBoolean(flags, arg)),
    strict: true,
    allowPositionals: false,
    options: Object.fromEntries(
      Object.entries(flags).map(([name, flag]) => [
        name,
        {
          type: flag.type === "boolean" ? ("boolean" as const) : ("string" as const),
          multiple: flag.repeated === true,
        },
      ]),
    ),
  });
  const parsed: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(flags)) {
    const given = values[name];
    if (given === undefined) {
      if (flag.required) throw new Error(`flag --${name} is required: ${flag.help}`);
      parsed[name] = flag.repeated === true ? [] : flag.default;
    } else if (flag.type === "number") {
      const number = Number(given);
      if (!Number.isFinite(number))
        throw new Error(`flag --${name}: "${String(given)}" is not a number`);
      parsed[name] = number;
    } else parsed[name] = given;
  }
  return parsed as FlagValues<F>;
}

/** `--flag=true` is `--flag`, and `--flag=false` is none. */
function plainBoolean(flags: Flags, arg: string): string[] {
  const [, name = "", value] = /^--([^=]+)=(true|false)$/.exec(arg) ?? [];
  if (flags[name]?.type !== "boolean") return [arg];
  return value === "true" ? [`--${name}`] : [];
}

function usage(definition: Pick<Program<Flags>, "name" | "summary" | "flags">): string {
  const lines = [`trireme ${definition.name}: ${definition.summary}`, "", "Flags:"];
  return `${[...lines, ...flagLines(definition.flags)].join("\n")}\n`;
}

/** Two lines for each flag: its type and default, and what it is for. */
export function flagLines(flags: Flags): string[] {
  return Object.entries(flags).flatMap(([name, flag]) => {
    const fallback = flag.default === undefined ? "" : ` (default ${flag.default})`;
    return [
      `  --${name} ${flag.type}${flag.repeated ? " (repeatable)" : ""}${flag.required ? " (required)" : fallback}`,
      `      ${flag.help}`,
    ];
  });
}

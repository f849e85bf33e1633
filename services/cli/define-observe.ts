/** The verbs that explain a cluster. */
import { type Command, InvalidArgumentError } from "commander";
import { StatusError } from "../../ha/runtime/status-error.ts";
import {
  durationText,
  type Timer,
  type TimerName,
  timerNames,
  timers,
} from "../../ha/runtime/timers.ts";
import { parseDuration } from "../client/duration.ts";
import type { ExplainFlags } from "./commands/explain-outage.ts";
import type { TimersFlags } from "./commands/timers.ts";
import { connected, verb } from "./verbs.ts";

export function defineObserve(program: Command): void {
  defineTimers(program);
  defineExplainOutage(program);
}

function defineExplainOutage(program: Command): void {
  connected(verb(program, "explain-outage", "tell in plain words what happened in the cluster"))
    .option("--since <time>", "a duration ago (10m), or a time (RFC 3339)", moment, moment("10m"))
    .option("--until <time>", "the same; default: now", moment)
    .option("--json", "as JSON")
    .action(async (flags: ExplainFlags) => {
      await (await import("./commands/explain-outage.ts")).explainOutage(flags);
    });
}

/** In Unix ms. */
function moment(text: string): number {
  if (/^\d{4}-/.test(text)) {
    const at = Date.parse(text);
    if (Number.isFinite(at)) return at;
    throw new InvalidArgumentError("a time such as 2026-01-31T10:00:00Z is wanted.");
  }
  return Date.now() - duration(text);
}

const timersHelp = `
The times are those of the running cluster of --data-dir, as its processes tell them; without one,
the defaults. The flags above stand in their place, to see what they would break. Exit code 1: a
relation does not hold.`;

function defineTimers(program: Command): void {
  const command = verb(program, "timers", "show the timer budget, and check its relations")
    .option("--json", "as JSON")
    .addHelpText("after", timersHelp);
  const byFlag = new Map<string, TimerName>();
  for (const name of timerNames) {
    const { flag, what, millis }: Timer = timers[name];
    if (flag === undefined) continue;
    byFlag.set(flag, name);
    command.option(`--${flag} <duration>`, `${what} (default ${durationText(millis)})`, duration);
  }
  command.action(async (flags: TimersFlags, { options }: Command) => {
    const given: Partial<Record<TimerName, number>> = {};
    for (const option of options) {
      const name = byFlag.get(option.name());
      const value = command.getOptionValue(option.attributeName());
      if (name !== undefined && typeof value === "number") given[name] = value;
    }
    await (await import("./commands/timers.ts")).showTimers(flags, given);
  });
}

function duration(text: string): number {
  try {
    // The apiserver's flag is a number of seconds.
    return /^\d+(\.\d+)?$/.test(text) ? 1_000 * Number(text) : parseDuration(text, "it");
  } catch (thrown) {
    throw new InvalidArgumentError(`${StatusError.from(thrown).message}.`);
  }
}

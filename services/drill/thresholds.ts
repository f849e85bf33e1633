/** What a drill demands. Each drill's file states it; `--limit name=value` overrides it. */

/** Undefined: nothing is demanded. */
export interface Thresholds {
  /** Longest time without an acknowledged call, the p99 over the rounds. */
  readonly writeOutageMillis?: number | undefined;
  readonly readOutageMillis?: number | undefined;
  /** Longest time without an event, on any watcher. */
  readonly watchOutageMillis?: number | undefined;
  readonly failedCalls: number;
  readonly relists: number;
  /** Changes of leader, a round. */
  readonly elections?: number | undefined;
  readonly leaderlessMillis?: number | undefined;
  /** From the fault's end until everything is whole again. */
  readonly recoveryMillis?: number | undefined;
  readonly podsDisturbed?: number | undefined;
  readonly containersTwice?: number | undefined;
}

export const thresholdNames = [
  "writeOutageMillis",
  "readOutageMillis",
  "watchOutageMillis",
  "failedCalls",
  "relists",
  "elections",
  "leaderlessMillis",
  "recoveryMillis",
  "podsDisturbed",
  "containersTwice",
] as const satisfies readonly (keyof Thresholds)[];

export const thresholdWords: Readonly<Record<keyof Thresholds, string>> = {
  writeOutageMillis: "write outage (p99 over rounds)",
  readOutageMillis: "read outage (p99 over rounds)",
  watchOutageMillis: "watch outage (p99 over rounds)",
  failedCalls: "calls failed",
  relists: "relists",
  elections: "elections a round",
  leaderlessMillis: "time without a leader",
  recoveryMillis: "recovery",
  podsDisturbed: "pods disturbed",
  containersTwice: "containers started twice",
};

export function unitOf(name: keyof Thresholds): string {
  return name.endsWith("Millis") ? " ms" : "";
}

/**
 * The limits of a machine that is so many times slower: of times, and of elections, which a machine
 * held up causes more of. What may never happen stays as it is.
 */
export function loosened(thresholds: Thresholds, slack: number): Thresholds {
  if (slack === 1) return thresholds;
  const timed = thresholdNames.filter((name) => name.endsWith("Millis") || name === "elections");
  const limits = timed.flatMap((name) => {
    const limit = thresholds[name];
    return limit === undefined ? [] : [[name, Math.round(limit * slack)] as const];
  });
  return { ...thresholds, ...Object.fromEntries(limits) };
}

/** `writeOutageMillis=500,relists=2`; throws an Error that names what is wrong. */
export function parseLimits(text: string): Partial<Record<keyof Thresholds, number>> {
  const limits: Partial<Record<keyof Thresholds, number>> = {};
  for (const part of text.split(",")) {
    const [word = "", digits = ""] = part.split("=");
    const name = thresholdNames.find((each) => each === word);
    if (name === undefined) {
      throw new Error(`"${word}" is none of ${thresholdNames.join(", ")}`);
    }
    const value = Number(digits);
    if (digits.trim() === "" || !(value >= 0 && Number.isFinite(value))) {
      throw new Error(`${name}: "${digits}" is not a number from 0 on`);
    }
    limits[name] = value;
  }
  return limits;
}

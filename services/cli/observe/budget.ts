/** The timer budget of a cluster: what its processes say, with flags laid over it, and its check. */
import {
  durationText,
  type Relation,
  relations,
  type Timer,
  type TimerName,
  type TimerValues,
  timerMetric,
  timerNames,
  timers,
} from "../../../ha/runtime/timers.ts";
import { type Scrape, samplesOf } from "./scrape.ts";

/** The values of one timer: usually one; processes with flags of their own have others. */
export interface TimerRow {
  readonly name: TimerName;
  readonly timer: Timer;
  readonly values: readonly {
    readonly millis: number;
    /** The processes that say so; "default" and "flag" where none was asked. */
    readonly from: readonly string[];
  }[];
}

export interface RelationRow {
  readonly relation: Relation;
  /** Times for which it does not hold; undefined: it holds for all. */
  readonly broken: Partial<TimerValues> | undefined;
}

type Given = Partial<Record<TimerName, number>>;

/** `given`: milliseconds that flags of the command say. `scrapes`: of the running processes. */
export function timerRows(given: Given, scrapes: readonly Scrape[]): TimerRow[] {
  const told = new Map<string, Map<number, string[]>>();
  for (const { process, text } of scrapes) {
    if (text === undefined) continue;
    for (const { labels, value } of samplesOf(text, timerMetric)) {
      const byValue = told.get(labels["timer"] ?? "") ?? new Map<number, string[]>();
      told.set(labels["timer"] ?? "", byValue);
      const millis = Math.round(value * 1_000);
      byValue.set(millis, [...(byValue.get(millis) ?? []), process]);
    }
  }
  return timerNames.map((name) => {
    const timer: Timer = timers[name];
    const own = given[name];
    if (own !== undefined) return { name, timer, values: [{ millis: own, from: ["flag"] }] };
    const said = [...(told.get(name) ?? [])].map(([millis, from]) => ({ millis, from }));
    return {
      name,
      timer,
      values: said.length > 0 ? said : [{ millis: timer.millis, from: ["default"] }],
    };
  });
}

/** Every relation, checked for every combination of the values that stand in it. */
export function relationRows(rows: readonly TimerRow[]): RelationRow[] {
  const valuesOf = new Map(rows.map(({ name, values }) => [name, values]));
  const defaults = Object.fromEntries(
    timerNames.map((name) => [name, timers[name].millis]),
  ) as Record<TimerName, number>;
  return relations.map((relation) => {
    let combinations: Given[] = [{}];
    for (const name of relation.names) {
      const values = valuesOf.get(name) ?? [];
      combinations = combinations.flatMap((each) =>
        values.map(({ millis }) => ({ ...each, [name]: millis })),
      );
    }
    const broken = combinations.find((each) => !relation.holds({ ...defaults, ...each }));
    return { relation, broken };
  });
}

export function valueText({ values }: TimerRow): string {
  const [first, ...others] = [...values].sort((a, b) => b.from.length - a.from.length);
  const more = others.map(({ millis, from }) => `${from.join(", ")}: ${durationText(millis)}`);
  const text = durationText(first?.millis ?? 0);
  return more.length === 0 ? text : `${text} (${more.join("; ")})`;
}

export function brokenText({ relation, broken = {} }: RelationRow): string {
  const times = Object.entries(broken).map(([name, millis]) => `${name} ${durationText(millis)}`);
  return `${relation.text} does not hold (${times.join(", ")}): ${relation.otherwise}`;
}

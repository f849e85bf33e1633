/** When a cron job is due. Pure. */
import { Cron } from "croner";
import type { CronJob } from "../../../proto/gen/batch.ts";
import { parseSchedule, parseTime } from "../../kinds/facts.ts";

/** Missed times from which the author is told (upstream). */
const manyMissed = 100;

export interface Due {
  /** The latest time that has come and is not served; undefined: none. */
  readonly scheduledMillis: number | undefined;
  readonly nextMillis: number | undefined;
  readonly missed: number;
  readonly tooManyMissed: boolean;
}

/** A text tells why the schedule brings nothing. */
export function dueOf(cronJob: CronJob, nowMillis: number): Due | string {
  const { schedule = "", timeZone, startingDeadlineSeconds } = cronJob.spec ?? {};
  const parsed = parseSchedule(schedule);
  if ("problem" in parsed)
    return `unparseable schedule: ${JSON.stringify(schedule)} : ${parsed.problem}`;
  const last = parseTime(cronJob.status?.lastScheduleTime);
  const created = parseTime(cronJob.metadata?.creationTimestamp) ?? nowMillis;
  let since = last ?? created;
  if (startingDeadlineSeconds !== undefined) {
    since = Math.max(since, nowMillis - startingDeadlineSeconds * 1000);
  }
  if ("everySeconds" in parsed)
    return every(parsed.everySeconds * 1000, last ?? created, since, nowMillis);
  const cron = new Cron(parsed.pattern, { ...(timeZone !== undefined && { timezone: timeZone }) });
  const first = cron.nextRun(new Date(since))?.getTime();
  if (first === undefined) {
    return `spec.schedule: ${JSON.stringify(schedule)} names a day that never comes`;
  }
  const nextMillis = cron.nextRun(new Date(nowMillis))?.getTime();
  if (first > nowMillis) {
    return { scheduledMillis: undefined, nextMillis, missed: 0, tooManyMissed: false };
  }
  // The reference itself is a time that has come.
  const latest = cron.previousRuns(1, new Date(nowMillis + 1))[0]?.getTime() ?? first;
  const second = cron.nextRun(new Date(first))?.getTime() ?? nowMillis + 1;
  const missed = Math.floor((nowMillis - first) / Math.max(1, second - first)) + 1;
  const scheduledMillis = Math.max(first, latest);
  return { scheduledMillis, nextMillis, missed, tooManyMissed: missed > manyMissed };
}

function every(period: number, origin: number, since: number, now: number): Due {
  const passed = Math.floor((now - origin) / period);
  const latest = origin + passed * period;
  const nextMillis = latest + period;
  if (passed < 1 || latest <= since - period || latest <= since) {
    return { scheduledMillis: undefined, nextMillis, missed: 0, tooManyMissed: false };
  }
  return {
    scheduledMillis: latest,
    nextMillis,
    missed: passed,
    tooManyMissed: passed > manyMissed,
  };
}

/** A time as the zone's clocks show it, e.g. `2026-03-01T09:00:00+01:00`. */
export function zonedTime(millis: number, timeZone: string | undefined): string {
  const zone = timeZone === undefined ? {} : { timeZone };
  const format = new Intl.DateTimeFormat("en-US", { ...zone, timeZoneName: "longOffset" });
  const named = format.formatToParts(millis).find(({ type }) => type === "timeZoneName")?.value;
  const offset = named?.slice("GMT".length) || "Z";
  const [, sign = "+", hours = "0", minutes = "0"] = /^([+-])(\d+):(\d+)/.exec(offset) ?? [];
  const shift = (Number(hours) * 60 + Number(minutes)) * 60_000 * (sign === "-" ? -1 : 1);
  return `${new Date(millis + shift).toISOString().slice(0, 19)}${shift === 0 ? "Z" : offset}`;
}

/** E.g. `Mon, 02 Jan 2006 15:04:05 +0000`. */
export function utcText(millis: number): string {
  return new Date(millis).toUTCString().replace("GMT", "+0000");
}

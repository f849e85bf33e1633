/** `trireme explain-outage`: what happened in a cluster, in one timeline and a few sentences. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { type ConnectionFlags, connect } from "../connect.ts";
import { type Endpoints, isOurs, type Lock, readJson } from "../endpoints.ts";
import { directories } from "../layout.ts";
import { type Explanation, explain, timeText } from "../observe/explanation.ts";
import type { Gap, Seen, Window } from "../observe/observations.ts";
import { readLogs } from "../observe/read-logs.ts";
import { readObjects } from "../observe/read-objects.ts";
import { print, table } from "../output.ts";

export interface ExplainFlags extends ConnectionFlags {
  readonly since: number;
  readonly until?: number;
  readonly json?: boolean;
}

export async function explainOutage(flags: ExplainFlags): Promise<void> {
  const window: Window = { from: flags.since, to: flags.until ?? Date.now() };
  if (window.from >= window.to) {
    throw new StatusError(Code.invalidArgument, "--since must be before --until");
  }
  const seen = await gather(flags);
  const explanation = explain(seen.observations, window);
  if (flags.json) print(JSON.stringify(asJson(window, seen.gaps, explanation), null, 2));
  else show(window, seen.gaps, explanation);
}

/** Rejects when there is nothing to read at all. */
async function gather(flags: ExplainFlags): Promise<Seen> {
  const { dataDir, server } = flags;
  const gaps: Gap[] = [];
  const logs = server === undefined ? readLogs(dataDir) : undefined;
  if (server !== undefined) {
    gaps.push({ source: "logs", why: "with --server, only what the API tells is read" });
  } else if (logs === undefined) {
    const text = `no cluster has run in ${dataDir}: there are no logs of one; --server names another`;
    throw new StatusError(Code.failedPrecondition, text);
  }
  const paths = directories(dataDir);
  const isUp =
    server !== undefined ||
    (isOurs(readJson<Lock>(paths.lock)?.pid) && readJson<Endpoints>(paths.endpoints) !== undefined);
  let objects: Seen = { observations: [], gaps: [] };
  if (isUp) {
    const client = connect(flags);
    try {
      objects = await readObjects(client);
    } finally {
      client.close();
    }
  } else {
    const why = `no cluster is up in ${dataDir}; \`trireme up\` starts it`;
    gaps.push({ source: "events, leases, nodes and pods", why });
  }
  return {
    observations: [...(logs?.observations ?? []), ...objects.observations],
    gaps: [...gaps, ...(logs?.gaps ?? []), ...objects.gaps],
  };
}

function show({ from, to }: Window, gaps: readonly Gap[], { timeline, summary }: Explanation) {
  const iso = (at: number) => new Date(at).toISOString();
  print(`from ${iso(from)} to ${iso(to)} (times of the day are UTC)`);
  for (const { source, why } of gaps) print(`not read: ${source}: ${why}`);
  print("");
  if (timeline.length > 0) {
    print(table(timeline.map(({ at, text }) => [timeText(at), text])));
    print("");
  }
  print(summary);
}

function asJson(
  { from, to }: Window,
  gaps: readonly Gap[],
  { timeline, outages, calls, summary }: Explanation,
): object {
  const iso = (at: number) => new Date(at).toISOString();
  return {
    version: 1,
    ...{ from: iso(from), to: iso(to) },
    notRead: gaps,
    timeline: timeline.map(({ at, ...entry }) => ({ time: iso(at), ...entry })),
    outages: outages.map(({ since, until, before, how, leader, term }) => ({
      since: iso(since),
      until: until === undefined ? null : iso(until),
      millis: until === undefined ? null : Math.round(until - since),
      ...{ leaderBefore: before ?? null, cause: how ?? null },
      ...{ leaderAfter: leader ?? null, term: term ?? null },
    })),
    calls,
    summary,
  };
}

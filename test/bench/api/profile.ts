/**
 * Where the CPU of a call goes: every thread of the servers is sampled while a load is on, and its
 * CPU time, as the system counts it, is shared out by the samples' stages.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ticksPerSecond } from "../store/processes.ts";
import { shown, table } from "../store/table.ts";
import { type Frame, helpers, pool, stageOf, stages } from "./stages.ts";

/** Of one load: monotonic microseconds, and what each thread has used meanwhile. */
export interface Window {
  readonly load: string;
  readonly from: number;
  readonly to: number;
  readonly calls: number;
  readonly used: readonly ThreadTime[];
}

interface ThreadTime {
  readonly pid: number;
  /** As the system names it, e.g. `store`. */
  readonly name: string;
  readonly main: boolean;
  readonly micros: number;
}

/** Linux: user and system time of every thread so far. */
export function threadTimes(pids: readonly number[]): ThreadTime[] {
  return pids.flatMap((pid) =>
    readdirSync(`/proc/${pid}/task`).flatMap((task) => {
      const stat = statOf(`/proc/${pid}/task/${task}/stat`);
      if (stat === undefined) return [];
      const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const micros = ((Number(fields[11]) + Number(fields[12])) * 1_000_000) / ticksPerSecond;
      return [{ pid, name, main: Number(task) === pid, micros }];
    }),
  );
}

/** Undefined: the thread has ended since it was listed. */
function statOf(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
}

/** By process, and within it the main thread, the others, and V8's helpers. */
export function timesBetween(
  before: readonly ThreadTime[],
  after: readonly ThreadTime[],
): ThreadTime[] {
  const groups = new Map<string, ThreadTime>();
  const add = ({ pid, name, main, micros }: ThreadTime, sign: 1 | -1) => {
    const key = `${pid} ${main ? "main" : name}`;
    const present = groups.get(key)?.micros ?? 0;
    groups.set(key, { pid, name, main, micros: present + sign * micros });
  };
  for (const each of after) add(each, 1);
  for (const each of before) add(each, -1);
  return [...groups.values()];
}

export const now = (): number => Number(process.hrtime.bigint() / 1000n);

/** What `--cpu-prof` writes, as far as it is read here. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: Frame;
    readonly children?: readonly number[];
  }[];
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface ThreadProfile {
  readonly pid: number;
  readonly main: boolean;
  /** Samples in a window by stage. */
  inWindow(window: Window): ReadonlyMap<string, number>;
}

/** Files are named by process and thread: `CPU.<date>.<time>.<pid>.<thread>.<count>.cpuprofile`. */
export function readProfiles(directory: string, pids: readonly number[]): ThreadProfile[] {
  return readdirSync(directory).flatMap((file) => {
    const [, pid, thread] = /\.(\d+)\.(\d+)\.\d+\.cpuprofile$/.exec(file) ?? [];
    if (!pids.includes(Number(pid))) return [];
    const profile = JSON.parse(readFileSync(join(directory, file), "utf8")) as CpuProfile;
    return [threadProfile(profile, Number(pid), thread === "0")];
  });
}

function threadProfile(profile: CpuProfile, pid: number, main: boolean): ThreadProfile {
  const { nodes, startTime, samples, timeDeltas } = profile;
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((c) => [c, id])));
  const known = new Map<number, string | undefined>();
  const stageOfNode = (id: number): string | undefined => {
    if (known.has(id)) return known.get(id);
    const stack: Frame[] = [];
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const frame = frames.get(at);
      if (frame !== undefined) stack.push(frame);
    }
    const stage = stageOf(stack);
    known.set(id, stage);
    return stage;
  };
  const inWindow = ({ from, to }: Window) => {
    const counts = new Map<string, number>();
    let at = startTime;
    for (const [index, id] of samples.entries()) {
      at += timeDeltas[index] ?? 0;
      const stage = at < from || at > to ? undefined : stageOfNode(id);
      if (stage !== undefined) counts.set(stage, (counts.get(stage) ?? 0) + 1);
    }
    return counts;
  };
  return { pid, main, inWindow };
}

/** CPU microseconds a call by stage, over all processes. */
export function sharesOf(
  window: Window,
  profiles: readonly ThreadProfile[],
): ReadonlyMap<string, number> {
  const micros = new Map<string, number>();
  const add = (stage: string, more: number) => micros.set(stage, (micros.get(stage) ?? 0) + more);
  for (const { pid, name, main, micros: used } of window.used) {
    const isHelper = name.startsWith("V8Worker");
    if (isHelper) add(helpers, used);
    else if (name.startsWith("libuv")) add(pool, used);
    else {
      const profile = profiles.find((each) => each.pid === pid && each.main === main);
      const counts = profile?.inWindow(window) ?? new Map<string, number>();
      const all = [...counts.values()].reduce((sum, each) => sum + each, 0);
      if (all === 0) add("other", used);
      for (const [stage, count] of counts) add(stage, (used * count) / all);
    }
  }
  for (const [stage, all] of micros) micros.set(stage, all / window.calls);
  return micros;
}

/** One table for each load, with a column for each of its rounds. */
export function tellStages(windows: readonly Window[], profiles: readonly ThreadProfile[]): void {
  for (const load of new Set(windows.map((window) => window.load))) {
    console.log(
      `${tableOf(
        load,
        windows.filter((each) => each.load === load),
        profiles,
      )}\n`,
    );
  }
}

function tableOf(
  load: string,
  windows: readonly Window[],
  profiles: readonly ThreadProfile[],
): string {
  const columns = windows.map((window) => sharesOf(window, profiles));
  const rows = stages
    .filter((stage) => columns.some((column) => (column.get(stage) ?? 0) >= 0.05))
    .map((stage) => [stage, ...columns.map((column) => shown(column.get(stage) ?? 0))]);
  const totals = columns.map((column) => [...column.values()].reduce((sum, each) => sum + each, 0));
  const rounds = windows.map((_, index) => `round ${index + 1}`);
  const head = [`${load}: CPU µs a call, all masters and balancers`, ...rounds];
  return table(head, [...rows, ["all of it", ...totals.map(shown)]]);
}

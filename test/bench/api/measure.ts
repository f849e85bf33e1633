/**
 * The loads of the API benchmark. All faces are given each load before the next one, in turns, several
 * times over: what is told is the median of the rounds, with the latencies of all of them.
 */
import { cpuMicros } from "../store/processes.ts";
import type { ApiFace } from "./faces.ts";
import { now, threadTimes, timesBetween, type Window } from "./profile.ts";

const idleMillis = 3_000;
const warmMillis = 2_000;
const fanOutWriters = 8;
const fillers = 32;
const resumeMillis = 10;
const fanOutMillisMax = 60_000;

export interface Load {
  readonly millis: number;
  readonly rounds: number;
  readonly watchers: number;
  readonly pods: number;
}

/** A way into a cluster, and the processes that serve it as far as they are known. */
export interface Subject {
  readonly face: ApiFace;
  readonly meter: Meter;
}

export interface Measured {
  readonly load: string;
  readonly face: string;
  readonly perSecond: number;
  /** NaN where the processes of the servers are not known. */
  readonly cpuMicrosEach: number;
  /** From a request to its answer; NaN for events, which come unasked. */
  readonly p50Millis: number;
  readonly p99Millis: number;
}

type Request = (face: ApiFace) => Promise<void>;

let names = 0;
/** Others may have made names on the same server before. */
const run = `bench-${Date.now().toString(36)}`;
const uniqueName = () => `${run}-${names++}`;

/** Each face reads what it has written itself: they may lead into different clusters. */
export async function measureApi(
  subjects: readonly Subject[],
  { millis, rounds, watchers, pods }: Load,
): Promise<Measured[]> {
  const read = uniqueName();
  for (const { face } of subjects) {
    // Faces of one cluster share it.
    await face.createConfigMap(read, "read").catch((error: Error) => {
      if (!/AlreadyExists|already exists|409/.test(error.message)) throw error;
    });
  }
  const kinds = kindsOf(read);
  for (const { face } of subjects) {
    for (const [, request] of kinds) await loaded(() => request(face), 64, warmMillis, []);
  }
  await Promise.all([...new Set(subjects.map(({ meter }) => meter))].map((each) => each.rest()));
  const results: Measured[] = [];
  const note = (measured: Measured) => {
    results.push(measured);
    const { load, face, perSecond, cpuMicrosEach } = measured;
    console.error(`${load}, ${face}: ${Math.round(perSecond)}/s, ${cpuMicrosEach.toFixed(1)} µs`);
  };
  const measure = async (load: string, request: Request, atOnce: number) => {
    const seen = subjects.map(({ face, meter }) => ({ face, meter, latencies: [] as number[] }));
    const found = seen.map(() => [] as Rate[]);
    for (let round = 0; round < rounds; round++) {
      for (const [at, { face, meter, latencies }] of seen.entries()) {
        const body = () => loaded(() => request(face), atOnce, millis, latencies);
        found[at]?.push(await meter.of(body));
      }
    }
    for (const [at, { face, latencies }] of seen.entries()) {
      latencies.sort((a, b) => a - b);
      const of = (share: number) => latencies[Math.floor(latencies.length * share)] ?? Number.NaN;
      const rate = median(found[at] ?? []);
      note({ load, face: face.name, ...rate, p50Millis: of(0.5), p99Millis: of(0.99) });
    }
  };
  for (const [name, request] of kinds) {
    for (const atOnce of [64, 1]) await measure(`${name}, ${atOnce} at once`, request, atOnce);
  }
  const listed = `${run}-listed-${names++}`;
  const filled = new Set<Meter>();
  for (const { face, meter } of subjects) {
    if (!filled.has(meter)) await fill(face, listed, pods);
    filled.add(meter);
  }
  await measure(`list of ${pods} pods`, (face) => face.listPods(listed), 1);
  for (const { face, meter } of subjects) note(await fanOut(face, meter, watchers, millis));
  return results;
}

/** `read`: the name of a ConfigMap that is there. */
function kindsOf(read: string): readonly (readonly [load: string, Request])[] {
  return [
    ["create ConfigMap 256 B", (face) => face.createConfigMap(uniqueName(), "bench")],
    ["create Pod 2 KB", (face) => face.createPod(uniqueName(), "bench")],
    ["get linearizable", (face) => face.getConfigMap(read)],
  ];
}

/** Gives a face each load in turn, and answers what the threads of its servers used meanwhile. */
export async function profileApi(
  face: ApiFace,
  pids: readonly number[],
  { millis, rounds }: Pick<Load, "millis" | "rounds">,
): Promise<Window[]> {
  const read = uniqueName();
  await face.createConfigMap(read, "read");
  const windows: Window[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const [load, request] of kindsOf(read)) {
      const [before, from] = [threadTimes(pids), now()];
      const calls = await loaded(() => request(face), 64, millis, []);
      const [to, after] = [now(), threadTimes(pids)];
      const used = timesBetween(before, after);
      windows.push({ load, from, to, calls, used });
    }
  }
  return windows;
}

interface Rate {
  readonly perSecond: number;
  readonly cpuMicrosEach: number;
}

function median(rates: readonly Rate[]): Rate {
  const middle = (values: readonly number[]) =>
    values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
  return {
    perSecond: middle(rates.map(({ perSecond }) => perSecond)),
    cpuMicrosEach: middle(rates.map(({ cpuMicrosEach }) => cpuMicrosEach)),
  };
}

/** So many calls at once for so long; all that were begun in that time count. */
async function loaded(
  request: () => Promise<void>,
  atOnce: number,
  millis: number,
  latencies: number[],
): Promise<number> {
  const began = performance.now();
  let count = 0;
  const loop = async () => {
    for (let now = began; now - began < millis; count++) {
      await request();
      const after = performance.now();
      latencies.push(after - now);
      now = after;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, loop));
  return count;
}

/** CPU of the processes of one cluster, less what they use when nothing is asked. */
export class Meter {
  readonly #pids: readonly number[];
  /** CPU µs in a second. */
  #idle = 0;

  constructor(pids: readonly number[]) {
    this.#pids = pids;
  }

  /** Measures what they use at rest. */
  async rest(): Promise<void> {
    const before = this.#cpu();
    await new Promise((resolve) => setTimeout(resolve, idleMillis));
    this.#idle = ((this.#cpu() - before) * 1_000) / idleMillis;
  }

  /** `body` answers how much it did. */
  async of(body: () => Promise<number>): Promise<Rate> {
    const before = this.#cpu();
    const began = performance.now();
    const count = await body();
    const elapsed = (performance.now() - began) / 1_000;
    const micros = this.#cpu() - before - this.#idle * elapsed;
    return { perSecond: count / elapsed, cpuMicrosEach: micros / count };
  }

  #cpu(): number {
    return this.#pids.length === 0 ? Number.NaN : cpuMicros(this.#pids);
  }
}

async function fill(face: ApiFace, app: string, pods: number): Promise<void> {
  let next = 0;
  const loop = async () => {
    while (next < pods) {
      next++;
      await face.createPod(uniqueName(), app);
    }
  };
  await Promise.all(Array.from({ length: fillers }, loop));
}

/** Every watcher sees every ConfigMap that is made meanwhile. */
async function fanOut(
  face: ApiFace,
  meter: Meter,
  watchers: number,
  millis: number,
): Promise<Measured> {
  const watched = `${run}-watched-${names++}`;
  let events = 0;
  let broken: Error | undefined;
  // A balancer that spreads watches ends some: they begin anew, with all that there is.
  const follow = async () => {
    for (;;) {
      let seen = 0;
      await face.watchConfigMaps(watched, () => {
        seen++;
        events++;
      });
      events -= seen;
      await new Promise((resolve) => setTimeout(resolve, resumeMillis));
    }
  };
  for (let n = 0; n < watchers; n++) {
    follow().catch((error: Error) => {
      broken ??= error;
    });
  }
  const all = async (expected: number) => {
    const deadline = performance.now() + fanOutMillisMax;
    while (events < expected) {
      if (broken !== undefined) throw broken;
      if (performance.now() > deadline) throw new Error(`${events} of ${expected} events came`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const make = () => face.createConfigMap(uniqueName(), watched);
  await make();
  await all(watchers);
  let made = 1;
  const measured = await meter.of(async () => {
    const began = performance.now();
    const write = async () => {
      while (performance.now() - began < millis) {
        await make();
        made++;
      }
    };
    await Promise.all(Array.from({ length: fanOutWriters }, write));
    await all(made * watchers);
    return (made - 1) * watchers;
  });
  const latency = { p50Millis: Number.NaN, p99Millis: Number.NaN };
  return { load: `watch events to ${watchers} watchers`, face: face.name, ...measured, ...latency };
}

/** The loads of the API benchmark. All faces are given each load before the next one. */
import { cpuMicros } from "../store/processes.ts";
import type { ApiFace } from "./faces.ts";

const idleMillis = 3_000;
const warmMillis = 2_000;
const fanOutWriters = 8;
const fillers = 32;
const fanOutMillisMax = 60_000;

export interface Load {
  readonly millis: number;
  readonly watchers: number;
  readonly pods: number;
}

export interface Measured {
  readonly load: string;
  readonly face: string;
  readonly perSecond: number;
  /** NaN where the processes of the servers are not known. */
  readonly cpuMicrosEach: number;
}

type Request = (face: ApiFace) => Promise<void>;

let names = 0;
/** Others may have made names on the same server before. */
const run = `bench-${Date.now().toString(36)}`;
const uniqueName = () => `${run}-${names++}`;

/** `pids`: of all processes that serve the faces. */
export async function measureApi(
  faces: readonly ApiFace[],
  pids: readonly number[],
  { millis, watchers, pods }: Load,
): Promise<Measured[]> {
  const [first] = faces;
  if (first === undefined) return [];
  const read = uniqueName();
  await first.createConfigMap(read, "read");
  const kinds: readonly (readonly [string, Request])[] = [
    ["create ConfigMap 256 B", (face) => face.createConfigMap(uniqueName(), "bench")],
    ["create Pod 2 KB", (face) => face.createPod(uniqueName(), "bench")],
    ["get linearizable", (face) => face.getConfigMap(read)],
  ];
  const meter = new Meter(pids);
  for (const face of faces) {
    for (const [, request] of kinds) await meter.run(() => request(face), 64, warmMillis);
  }
  await meter.measureIdle();
  const results: Measured[] = [];
  const measure = async (load: string, request: Request, atOnce: number) => {
    for (const face of faces) {
      const measured = await meter.run(() => request(face), atOnce, millis);
      results.push({ load, face: face.name, ...measured });
    }
  };
  for (const [name, request] of kinds) {
    for (const atOnce of [64, 1]) await measure(`${name}, ${atOnce} at once`, request, atOnce);
  }
  const listed = `${run}-listed-${names++}`;
  await fill(first, listed, pods);
  await measure(`list of ${pods} pods`, (face) => face.listPods(listed), 1);
  for (const face of faces) results.push(await fanOut(face, meter, watchers, millis));
  return results;
}

/** CPU of some processes, less what they use when nothing is asked. */
class Meter {
  readonly #pids: readonly number[];
  /** CPU µs in a second. */
  #idle = 0;

  constructor(pids: readonly number[]) {
    this.#pids = pids;
  }

  async measureIdle(): Promise<void> {
    const before = this.#cpu();
    await new Promise((resolve) => setTimeout(resolve, idleMillis));
    this.#idle = ((this.#cpu() - before) * 1_000) / idleMillis;
  }

  /** `body` answers how much it did. */
  async of(body: () => Promise<number>) {
    const before = this.#cpu();
    const began = performance.now();
    const count = await body();
    const elapsed = (performance.now() - began) / 1_000;
    const micros = this.#cpu() - before - this.#idle * elapsed;
    return { perSecond: count / elapsed, cpuMicrosEach: micros / count };
  }

  /** So many calls at once for so long; all that were begun in that time count. */
  run(request: () => Promise<void>, atOnce: number, millis: number) {
    return this.of(async () => {
      const began = performance.now();
      let count = 0;
      const loop = async () => {
        while (performance.now() - began < millis) {
          await request();
          count++;
        }
      };
      await Promise.all(Array.from({ length: atOnce }, loop));
      return count;
    });
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
  for (let n = 0; n < watchers; n++) {
    const event = () => {
      events++;
    };
    face.watchConfigMaps(watched, event).catch((error: Error) => {
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
  return { load: `watch events to ${watchers} watchers`, face: face.name, ...measured };
}

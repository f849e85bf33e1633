/** Holds one drill in a world: load, rounds of fault and recovery, and what the store says then. */
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { StatusError } from "../../ha/runtime/status-error.ts";
import { calmOf } from "./calm.ts";
import type { Drill } from "./drill.ts";
import { type Plan, Recorder, type SeenChange } from "./evidence.ts";
import type { Attempt, Face } from "./faces/face.ts";
import { openFace } from "./faces/open-face.ts";
import { Load } from "./load.ts";
import { Monitor } from "./monitor.ts";
import { Pods } from "./pods.ts";
import { Scene } from "./scene.ts";
import { Watcher } from "./watcher.ts";
import { pause, until, type World } from "./world/world.ts";

export interface RunOptions {
  readonly drill: Drill;
  readonly world: World;
  readonly plan: Omit<Plan, "startMs" | "world" | "version" | "pods">;
  /** Where the evidence goes. */
  readonly folder: string;
  readonly victim: string | undefined;
  readonly signal: AbortSignal;
  readonly random: (limit: number) => number;
  /** Steady states and holds last so much of their full length. */
  readonly pace: number;
  /** The load goes on for so long before the first round. */
  readonly warmUpMillis: number;
  /** What the load has made is taken away at the end. */
  readonly tidy: boolean;
  readonly tell: (text: string) => void;
}

const steadyMillis = 3_000;
/** What starts beside the load, and a machine with other work, get so long to become calm. */
const calmWaitMillis = 20_000;
const tailMillis = 1_000;
const watchers = 3;
/** How long the watchers and the members may take to come to the end of what was written. */
const catchUpMillisMax = 15_000;
/** How long each try of what is asked before the load may take. */
const setUpAttemptMillis = 5_000;

export async function holdDrill(options: RunOptions): Promise<void> {
  const { drill, world, plan, folder } = options;
  const recorder = new Recorder();
  const pods = drill.pods === true && world.processes("node").length > 0;
  try {
    await new Run(options, recorder, pods).hold();
  } finally {
    const { startMs } = recorder;
    recorder.write(folder, { version: 1, ...plan, startMs, world: world.kind, pods });
    keepLogs(world, folder);
  }
}

class Run {
  readonly #options: RunOptions;
  readonly #recorder: Recorder;
  readonly #face: Face;
  readonly #load: Load;
  readonly #scene: Scene;
  readonly #pods: Pods | undefined;
  readonly #background = new AbortController();
  readonly #following: Promise<void>[] = [];
  readonly #watchers: Watcher[] = [];

  constructor(options: RunOptions, recorder: Recorder, pods: boolean) {
    const { world, plan, random, signal, victim, folder, pace, tell } = options;
    const { face: name, run, clients, rate } = plan;
    this.#options = options;
    this.#recorder = recorder;
    this.#face = openFace(name, { addresses: world.addresses[name], tls: world.tls, run });
    this.#load = new Load({ face: this.#face, recorder, clients, rate, random, run });
    const monitor = new Monitor(world.members, recorder);
    const face = this.#face;
    const scratch = join(folder, "scratch");
    this.#scene = new Scene({
      ...{ world, recorder, monitor, face, signal, random, victim, scratch, pace, tell },
    });
    this.#pods = pods ? new Pods(this.#scene, run) : undefined;
    this.#following.push(monitor.run(this.#background.signal));
  }

  async hold(): Promise<void> {
    const { signal, tidy } = this.#options;
    const face = this.#face;
    try {
      const revision = await this.#prepare();
      for (let i = 0; i < watchers; i++) {
        const watcher = new Watcher(face, this.#recorder, `w${i}`, revision);
        this.#watchers.push(watcher);
        this.#following.push(watcher.run(i, this.#background.signal));
      }
      this.#load.start();
      await this.#rounds();
      await this.#load.stop();
      if (!signal.aborted) await this.#conclude(revision);
      await this.#pods?.remove();
      if (tidy) await this.#asked("the removal of what was written", (each) => face.remove(each));
    } catch (thrown) {
      if (!signal.aborted) this.#scene.fail(StatusError.from(thrown).message);
      throw thrown;
    } finally {
      this.#background.abort();
      await this.#load.stop();
      await Promise.all(this.#following);
      face.close();
    }
  }

  /** Makes all that the load and the drill need, and answers the revision from which it is watched. */
  async #prepare(): Promise<number> {
    const face = this.#face;
    await this.#scene.whole();
    await this.#asked("a place for the keys", (attempt) => face.prepare(attempt));
    const { revision } = await answered("a list of all keys", () => face.list());
    await this.#asked("the first values", (attempt) => this.#load.prepare(attempt));
    await this.#pods?.start();
    await this.#options.drill.prepare?.(this.#scene);
    return revision;
  }

  /** Asks door after door under one identity: a member that has just lost its leader refuses. */
  #asked(what: string, ask: (attempt: Attempt) => Promise<void>): Promise<void> {
    const requestId = `${this.#options.plan.run} ${what}`.replaceAll(" ", "-");
    let door = -1;
    return answered(what, () => {
      door++;
      return ask({ door, requestId, attempt: door + 1, millis: setUpAttemptMillis });
    });
  }

  async #rounds(): Promise<void> {
    const { plan, signal, tell, pace, warmUpMillis } = this.#options;
    await pause(warmUpMillis, signal);
    for (let round = 1; round <= plan.repeat && !signal.aborted; round++) {
      this.#recorder.mark({ kind: "round", t: this.#recorder.now(), round });
      if (plan.repeat > 1) tell(`round ${round} of ${plan.repeat}`);
      await pause(steadyMillis * pace, signal);
      await this.#calm();
      if (signal.aborted) break;
      if (!(await this.#round(round))) break;
      await pause(tailMillis * pace, signal);
    }
    if (signal.aborted) this.#recorder.mark({ kind: "interrupted", t: this.#recorder.now() });
  }

  /** Waits for a steady load. Without one the fault is set all the same, and the report says so. */
  async #calm(): Promise<void> {
    const { plan, signal, tell, pace } = this.#options;
    const recorder = this.#recorder;
    const calm = () => calmOf(recorder.calls, plan.rate, recorder.now());
    const steady = async () => signal.aborted || calm().steady;
    await until("the load to be steady", steady, calmWaitMillis * pace).catch(() => {
      const { gapMillis } = calm();
      this.#scene.fact("longest gap without a fault, ms", gapMillis);
      tell(`the load is not steady: ${gapMillis} ms without a write, and no fault yet`);
    });
  }

  /** False: the drill ends here. Whatever happens, the fault is undone. */
  async #round(round: number): Promise<boolean> {
    const { drill, signal } = this.#options;
    const scene = this.#scene;
    const failed = (thrown: unknown) => {
      if (!signal.aborted) scene.fail(StatusError.from(thrown).message);
    };
    let held = true;
    try {
      await this.#pods?.before();
      await drill.fault(scene);
    } catch (thrown) {
      failed(thrown);
      held = false;
    }
    this.#recorder.mark({ kind: "ending", t: this.#recorder.now(), round });
    try {
      await scene.undo();
      if (signal.aborted) return false;
      await scene.whole();
      await this.#doorsAnswer();
      await drill.recovered?.(scene);
      this.#recorder.mark({ kind: "recovered", t: this.#recorder.now(), round });
      await this.#pods?.after();
    } catch (thrown) {
      failed(thrown);
      return false;
    }
    return held;
  }

  /** A process that was started again listens a little later. */
  async #doorsAnswer(): Promise<void> {
    const face = this.#face;
    for (let door = 0; door < face.doors; door++) {
      const requestId = `${this.#options.plan.run}-door-${door}`;
      const attempt = { door, requestId, attempt: 1, millis: 1_000 };
      await answered(`an answer at door ${door}`, () => face.read("r-0", attempt));
    }
  }

  /** Reads what there is now, when the watchers and all members have come that far. */
  async #conclude(fromRevision: number): Promise<void> {
    const toRevision = this.#recorder.calls.reduce(
      (last, { op, revision = 0 }) => (op === "read" ? last : Math.max(last, revision)),
      fromRevision,
    );
    try {
      await this.#awaitWatchers(toRevision);
      const { entries } = await answered("a list of all keys", () => this.#face.list());
      const changes = await this.#changes(fromRevision, toRevision);
      const hashes = await this.#hashes();
      this.#recorder.outcome = { fromRevision, toRevision, changes, entries, hashes };
    } catch (thrown) {
      this.#scene.fail(`at the end: ${StatusError.from(thrown).message}`);
    }
  }

  async #awaitWatchers(toRevision: number): Promise<void> {
    const late = () => this.#watchers.find(({ reached }) => reached < toRevision);
    try {
      await until("the watchers", async () => late() === undefined, catchUpMillisMax);
    } catch {
      const words = `a watcher came to revision ${late()?.reached} and no further than that`;
      this.#scene.fail(`watch reliable: ${words}, of ${toRevision}`);
    }
  }

  /** All changes of the run, as a watch that begins now tells them; undefined: it cannot any more. */
  async #changes(from: number, to: number): Promise<readonly SeenChange[] | undefined> {
    const changes: SeenChange[] = [];
    const leave = new AbortController();
    const timer = setTimeout(() => leave.abort(), catchUpMillisMax);
    try {
      for await (const { revision, events } of this.#face.watch(from, 0, leave.signal)) {
        for (const event of events) if (event.revision <= to) changes.push(event);
        if (revision >= to) return changes;
      }
      return undefined;
    } catch (thrown) {
      this.#scene.fact("history no longer told", 1);
      this.#options.tell(`the history is not told any more: ${StatusError.from(thrown).message}`);
      return undefined;
    } finally {
      clearTimeout(timer);
      leave.abort();
    }
  }

  /** The hashes of all members at one revision, when they have all come to it. */
  async #hashes(): Promise<Record<string, number>> {
    const { members } = this.#options.world;
    const leader = await this.#scene.leader();
    const revision = (await leader.status())?.header?.revision ?? 0n;
    const hashes: Record<string, number> = {};
    const all = async () => {
      for (const member of members) {
        const hash = await member.hash(revision);
        if (hash === undefined) return false;
        hashes[member.name] = hash;
      }
      return true;
    };
    try {
      await until(`the hashes of all members at revision ${revision}`, all, catchUpMillisMax);
    } catch (thrown) {
      this.#scene.fail(`the members do not agree: ${StatusError.from(thrown).message}`);
    }
    return hashes;
  }
}

/** Asks again until there is an answer. */
async function answered<T>(what: string, ask: () => Promise<T>): Promise<T> {
  let failure = "";
  const tried = async () => {
    try {
      return { value: await ask() };
    } catch (thrown) {
      failure = StatusError.from(thrown).message;
      return undefined;
    }
  };
  try {
    return (await until(what, tried, catchUpMillisMax)).value;
  } catch (thrown) {
    throw new Error(`${(thrown as Error).message}: ${failure}`, { cause: thrown });
  }
}

function keepLogs(world: World, folder: string): void {
  const logs = join(folder, "logs");
  mkdirSync(logs, { recursive: true });
  for (const { name, path } of world.logs) {
    if (existsSync(path)) copyFileSync(path, join(logs, `${name}.log`));
  }
}

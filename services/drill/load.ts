/**
 * The load of a drill: clients that write and read while the fault is set, each of which has one
 * call under way at a time. Every call is recorded. A call that fails for want of an answer is made
 * again, under the same request id and at the next door, until its patience ends.
 */
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { CallRecord, Recorder } from "./evidence.ts";
import type { Attempt, Face, ReadAnswer } from "./faces/face.ts";
import { pause } from "./world/world.ts";

export interface LoadOptions {
  readonly face: Face;
  readonly recorder: Recorder;
  readonly clients: number;
  /** Calls a second, of all clients. */
  readonly rate: number;
  readonly random: (limit: number) => number;
  /** Names what is written: no two runs write the same. */
  readonly run: string;
}

/** So long a call waits for an answer, then it is asked again elsewhere. */
const attemptMillis = 1_000;
/** So long a call is made again. */
const patienceMillis = 30_000;
const repeatMillisMin = 10;
const repeatMillisMax = 200;
const tickMillis = 5;
/** A tick that comes so late tells that the machine held the drill up. */
const lateMillisMin = 10;
/** Calls that are due and find no free client: beyond, they are not made at all. */
const dueMax = 4_096;
const registers = ["r-0", "r-1", "r-2", "r-3"] as const;

const repeatable: ReadonlySet<Code> = new Set([
  Code.unavailable,
  Code.deadlineExceeded,
  // A server that shuts down breaks calls off.
  Code.cancelled,
  Code.resourceExhausted,
]);

export class Load {
  readonly #options: LoadOptions;
  readonly #idle: (() => void)[] = [];
  readonly #due: number[] = [];
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #count = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  /** Makes the registers, so that the first read finds them. May be repeated with a later attempt. */
  async prepare({ door, requestId, attempt, millis }: Attempt): Promise<void> {
    const { face, run } = this.#options;
    for (const key of registers) {
      const value = Load.initial(run, key);
      await face.create(key, value, { door, requestId: `${requestId}-${key}`, attempt, millis });
    }
  }

  static initial(run: string, key: string): string {
    return `${run}.${key}.first`;
  }

  start(): void {
    const { clients, rate, recorder } = this.#options;
    recorder.mark({ kind: "load", t: recorder.now(), state: "began" });
    const began = performance.now();
    let offered = 0;
    let before = began;
    this.#timer = setInterval(() => {
      const now = performance.now();
      const millis = Math.round(now - before - tickMillis);
      before = now;
      if (millis >= lateMillisMin) recorder.mark({ kind: "held-up", t: recorder.now(), millis });
      const wanted = Math.floor(((now - began) * rate) / 1000);
      for (; offered < wanted; offered++) {
        if (this.#due.length < dueMax) this.#due.push(recorder.now());
        this.#idle.shift()?.();
      }
    }, tickMillis);
    const work = (_: unknown, i: number) => this.#client(`c${i}`, i);
    this.#running = Promise.all(Array.from({ length: clients }, work));
  }

  /** Resolves when no call is under way any more. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearInterval(this.#timer);
    for (const wake of this.#idle.splice(0)) wake();
    await this.#running;
    const { recorder } = this.#options;
    recorder.mark({ kind: "load", t: recorder.now(), state: "ended" });
  }

  /**
   * A client stays where it was answered last. But one client at each door does nothing but read
   * there, and comes back to it: it would notice if a member that is cut off answered.
   */
  async #client(client: string, number: number): Promise<void> {
    const { face, clients } = this.#options;
    const stays = clients > 2 * face.doors && number < face.doors;
    let door = number;
    for (;;) {
      while (this.#due.length === 0 && !this.#stopped) {
        await new Promise<void>((resolve) => this.#idle.push(resolve));
      }
      if (this.#stopped) return;
      const due = this.#due.shift() ?? 0;
      const answeredAt = await this.#call(client, door, due, stays);
      if (!stays) door = answeredAt;
    }
  }

  /** Answers the door at which the call ended. */
  async #call(client: string, firstDoor: number, due: number, reads: boolean): Promise<number> {
    const { face, recorder, random, run } = this.#options;
    const id = `${run}-${++this.#count}`;
    const value = `${run}.${client}.${this.#count}`;
    const dice = random(10);
    const op = reads ? "read" : dice < 4 ? "create" : dice < 6 ? "write" : "read";
    const key = op === "create" ? `k-${this.#count}` : (registers[random(4)] as string);
    const ask = (attempt: Attempt): Promise<number | ReadAnswer> =>
      op === "read"
        ? face.read(key, attempt)
        : op === "write"
          ? face.write(key, value, attempt)
          : face.create(key, value, attempt);
    const t = recorder.now();
    const common = { op, client, key, due, t, ...(op !== "read" && { value }) } as const;
    const retries: string[] = [];
    let door = firstDoor;
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await ask({ door, requestId: id, attempt, millis: attemptMillis });
        recorder.call(answered(common, recorder.now(), answer, retries));
        return door;
      } catch (thrown) {
        const { code, message } = StatusError.from(thrown);
        const late = recorder.now() - t > patienceMillis;
        if (!repeatable.has(code) || late) {
          const error = message.slice(0, 300);
          recorder.call({
            ...common,
            code: nameOf(code),
            error,
            ...(retries.length > 0 && { retries }),
          });
          return door;
        }
        retries.push(nameOf(code));
        door++;
        await pause(Math.min(repeatMillisMin * 2 ** (attempt - 1), repeatMillisMax));
      }
    }
  }
}

function answered(
  common: Omit<CallRecord, "code">,
  end: number,
  answer: number | ReadAnswer,
  retries: readonly string[],
): CallRecord {
  const told =
    typeof answer === "number"
      ? { revision: answer }
      : {
          ...(answer.value !== undefined && { value: answer.value }),
          ...(answer.revision !== undefined && { revision: answer.revision }),
        };
  return { ...common, ...told, end, code: "OK", ...(retries.length > 0 && { retries }) };
}

/** `UNAVAILABLE`, as gRPC writes it. */
function nameOf(code: Code): string {
  const [name = "unknown"] = Object.entries(Code).find(([, value]) => value === code) ?? [];
  return name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

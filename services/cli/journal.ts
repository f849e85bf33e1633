/** What the supervisor sees of its cluster, kept as lines of JSON among the logs for explanations. */
import { appendFileSync, renameSync, statSync } from "node:fs";

/** Calls that did not go as usual, as balancers count them. */
export interface CallTroubles {
  /** Had to wait for a master. */
  readonly waits: number;
  /** Attempts after the first. */
  readonly retries: number;
  readonly refusals: number;
  /** Attempts given up because their master was suspected to be stopped. */
  readonly suspicions: number;
}

export type JournalEntry = { readonly at: number } & (
  | { readonly kind: "up" | "down" }
  | { readonly kind: "start"; readonly name: string }
  /** `how` as in "was ended by SIGKILL". */
  | { readonly kind: "exit"; readonly name: string; readonly how: string }
  | ({ readonly kind: "calls"; readonly balancer: string } & CallTroubles)
);

const bytesMax = 8 * 1024 * 1024;

type Without<T> = T extends unknown ? Omit<T, "at"> : never;

export class Journal {
  readonly #file: string;
  readonly #failed: (error: Error) => void;
  readonly #before = new Map<string, CallTroubles>();
  #bytes: number;
  #broken = false;

  /** `failed`: called once, when the file cannot be written; the cluster runs on without it. */
  constructor(file: string, failed: (error: Error) => void) {
    this.#file = file;
    this.#failed = failed;
    this.#bytes = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  }

  add(entry: Without<JournalEntry>): void {
    if (this.#broken) return;
    const line = `${JSON.stringify({ at: Date.now(), ...entry })}\n`;
    try {
      // One older file is kept beside it.
      if (this.#bytes > bytesMax) {
        renameSync(this.#file, `${this.#file}.1`);
        this.#bytes = 0;
      }
      appendFileSync(this.#file, line);
      this.#bytes += line.length;
    } catch (error) {
      this.#broken = true;
      this.#failed(error as Error);
    }
  }

  /** `calls`: what a balancer has counted since its start; only what is new is written. */
  calls(balancer: string, calls: CallTroubles | undefined): void {
    if (calls === undefined) return;
    const before = this.#before.get(balancer);
    this.#before.set(balancer, calls);
    if (before === undefined) return;
    // A balancer that was started anew counts from zero.
    const more = (name: keyof CallTroubles) =>
      calls[name] - (calls[name] >= before[name] ? before[name] : 0);
    const news = {
      waits: more("waits"),
      retries: more("retries"),
      refusals: more("refusals"),
      suspicions: more("suspicions"),
    };
    if (Object.values(news).every((count) => count === 0)) return;
    this.add({ kind: "calls", balancer, ...news });
  }
}

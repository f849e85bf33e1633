/**
 * When the commands of a crowd leave as one proposal. A proposal costs every member two writes to
 * sockets, a write to its disk and the wake-ups for these, however many commands are in it. Clients
 * that wait for their answers ask again as soon as they have them: so it pays to let the last
 * proposal come back, and then to look a few times more for those who were answered by it.
 *
 * Few callers are never kept waiting: what they would gain is less than what they would wait.
 */

/** From so many commands under way or waiting at once on, they are a crowd. */
const crowdMin = 16;
/** Proposals whose callers are counted; the largest number among them is taken for the next. */
const remembered = 4;
/** So much of the crowd is enough. */
const enoughShare = 0.95;
/** Turns of the event loop in which the rest of the crowd is looked for. */
const looksMax = 64;
/** No command waits for a proposal under way longer than this: it may be far, or lost. */
const holdMillisMax = 3;

/** `hold`: an answer, or a later command, brings the next chance; `look`: the next turn does. */
export type Readiness = "go" | "hold" | "look";

export class Gathering {
  /** How many commands were under way or waiting at the last proposals. */
  readonly #crowds: number[] = new Array(remembered).fill(0);
  #proposals = 0;
  #looks = 0;
  /** When a command first had to wait for the proposal under way. */
  #heldSince: number | undefined;

  /** `underWay`: the last proposal has not come back. */
  readiness(waiting: number, all: number, underWay: boolean, now: number): Readiness {
    const slot = this.#proposals % remembered;
    this.#crowds[slot] = Math.max(this.#crowds[slot] ?? 0, all);
    const crowd = Math.max(...this.#crowds);
    if (crowd < crowdMin) return "go";
    if (underWay) {
      this.#heldSince ??= now;
      return now - this.#heldSince < holdMillisMax ? "hold" : "go";
    }
    if (waiting >= crowd * enoughShare || this.#looks >= looksMax) return "go";
    this.#looks++;
    return "look";
  }

  /** What waited is proposed now. */
  gone(): void {
    this.#proposals++;
    this.#crowds[this.#proposals % remembered] = 0;
    this.#looks = 0;
    this.#heldSince = undefined;
  }
}

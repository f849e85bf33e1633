/**
 * Decides when the commands of many callers leave as one proposal. A proposal costs every member
 * two writes to sockets, a write to its disk and the wake-ups for these, however many commands are
 * in it. Clients that wait for their answers ask again as soon as they have them. So it pays to
 * wait until the last proposal has been answered, and then for some turns more, until its callers
 * have asked again.
 *
 * A few callers are never kept waiting: they would lose more time than they would gain.
 */

/** Commands are held back only if at least this many are under way or waiting. */
const crowdMin = 16;
/** Proposals whose callers are counted; the largest number among them is taken for the next. */
const remembered = 4;
/** A proposal leaves when this share of the recent callers has a command waiting. */
const enoughShare = 0.95;
/** The most turns of the event loop for which a proposal waits for more callers. */
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

  /** The waiting commands are proposed now. */
  gone(): void {
    this.#proposals++;
    this.#crowds[this.#proposals % remembered] = 0;
    this.#looks = 0;
    this.#heldSince = undefined;
  }
}

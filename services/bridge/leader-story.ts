/**
 * The story of who leads, told from what is seen in order: elections with their causes, and the
 * times without a leader. The live page tells it as it happens, `trireme explain-outage` afterwards.
 */

export interface Election {
  readonly at: number;
  readonly leader: string;
  readonly term: number;
  readonly text: string;
}

export interface Outage {
  /** Unix ms; `until` undefined: it lasts. */
  readonly since: number;
  readonly until: number | undefined;
  /** Who led before, and how that ended: "was ended by SIGKILL"; undefined: it is not known. */
  readonly before: string | undefined;
  readonly how: string | undefined;
  /** Who leads since; undefined: there is no leader yet. */
  readonly leader: string | undefined;
  readonly term: number | undefined;
}

/** Exits that are older than this explain nothing. */
const causeMillis = 10_000;

export class LeaderStory {
  /** How processes ended, by name: the cause of what follows. */
  readonly #exits = new Map<string, { readonly at: number; readonly how: string }>();
  #leaderlessSince: number | undefined;
  #lastLeader: string | undefined;
  /** Everything before the first leader is the start, not an outage. */
  #begun = false;

  /** `how` as in "was ended by SIGKILL". */
  ended(at: number, name: string, how: string): void {
    this.#exits.set(name, { at, how });
  }

  /** The leader that answers at this moment; undefined: there is none. */
  observe(
    at: number,
    leader: string | undefined,
    term: number,
  ): { readonly election?: Election; readonly outage?: Outage } {
    if (leader === undefined) {
      if (this.#begun) this.#leaderlessSince ??= at;
      return {};
    }
    const outage = this.#leaderlessSince === undefined ? undefined : this.#outage(at, leader, term);
    const isNew = leader !== this.#lastLeader || outage !== undefined;
    const text = `${leader} leads in term ${term}${this.#cause(at, leader)}`;
    this.#leaderlessSince = undefined;
    this.#lastLeader = leader;
    this.#begun = true;
    return {
      ...(isNew && { election: { at, leader, term, text } }),
      ...(outage && { outage }),
    };
  }

  /** The time without a leader that has not ended. */
  get open(): Outage | undefined {
    const since = this.#leaderlessSince;
    if (since === undefined) return undefined;
    const before = this.#lastLeader;
    const how = this.#exitOf(since, before);
    return { since, until: undefined, before, how, leader: undefined, term: undefined };
  }

  #outage(at: number, leader: string, term: number): Outage {
    const since = this.#leaderlessSince ?? at;
    const before = this.#lastLeader;
    return { since, until: at, before, how: this.#exitOf(at, before), leader, term };
  }

  #exitOf(at: number, name: string | undefined): string | undefined {
    const exit = name === undefined ? undefined : this.#exits.get(name);
    return exit !== undefined && at - exit.at < causeMillis ? exit.how : undefined;
  }

  #cause(at: number, leader: string): string {
    const before = this.#lastLeader;
    if (before === undefined) return ", the first since the start";
    const how = this.#exitOf(at, before);
    if (how !== undefined) return `: ${before}, which led before, ${how}`;
    return leader === before ? ", again" : `, after ${before}`;
  }
}

export function outageText({ since, until, before = "the leader", how, leader }: Outage): string {
  const why = how ?? "did not answer";
  if (until === undefined || leader === undefined) {
    return `there is no leader, so writes wait at the balancers: ${before} ${why}`;
  }
  const then = leader === before ? `until ${leader} was back` : `until ${leader} was elected`;
  return (
    `for about ${Math.round(until - since)} ms there was no leader, so writes waited at the ` +
    `balancers: ${before} ${why}, and it took ${then}`
  );
}

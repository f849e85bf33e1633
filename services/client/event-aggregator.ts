import type { LoopClock } from "./clock.ts";

const aggregatorLimits = {
  /** Different messages of one group that are told one by one; what comes beyond is told together. */
  messagesMax: 9,
  /** A group that is silent for longer begins anew. */
  silenceMillis: 600_000,
  groupsMax: 4_096,
} as const;

interface Group {
  readonly messages: string[];
  readonly atMillis: number;
}

/**
 * Which events are told together (client-go `EventAggregator`): those that say the same of the same
 * object in ever other words, such as `Created pod: …` of a large set.
 */
export class EventAggregator {
  readonly #clock: Pick<LoopClock, "monotonicMillis">;
  readonly #groups = new Map<string, Group>();

  constructor(clock: Pick<LoopClock, "monotonicMillis">) {
    this.#clock = clock;
  }

  /** Groups that are remembered. */
  get size(): number {
    return this.#groups.size;
  }

  /** `group`: all that the event says but for its message. */
  isOneOfMany(group: string, message: string): boolean {
    const { messagesMax, silenceMillis, groupsMax } = aggregatorLimits;
    const now = this.#clock.monotonicMillis();
    const known = this.#groups.get(group);
    const isSilent = known !== undefined && now - known.atMillis > silenceMillis;
    const messages = known && !isSilent ? known.messages : [];
    // The group that was silent for longest is forgotten first.
    this.#groups.delete(group);
    this.#groups.set(group, { messages, atMillis: now });
    for (const [oldest, { atMillis }] of this.#groups) {
      if (this.#groups.size <= groupsMax && now - atMillis <= silenceMillis) break;
      this.#groups.delete(oldest);
    }
    if (messages.includes(message)) return false;
    if (messages.length >= messagesMax) return true;
    messages.push(message);
    return false;
  }
}

/** A watcher that resumes wherever it can, and keeps what it saw for `watch-checks.ts` to judge. */

import { StatusError } from "../../ha/runtime/status-error.ts";
import type { KeyRange, Revision, Store, WatchBatch, WatchStream } from "../../ha/store/mod.ts";
import type {
  SeenBatch,
  WatchRecord,
  WatchSession,
} from "../../services/drill/checker/watch-checks.ts";
import { bytes, Caller, text } from "./caller.ts";
import { between, type Chance, randomChoice } from "./chance.ts";
import type { Cluster, Seat } from "./cluster.ts";
import type { TrueEvent } from "./truth.ts";

export interface WatcherOptions {
  /** Absent: everything. */
  readonly prefix?: string;
  /** Wants to know how far the store has come, even where nothing concerns it. */
  readonly progress?: boolean;
  /** Takes so long for a batch, at most. */
  readonly slowMillis?: number;
}

const compactedText = "required revision has been compacted";

export class SimulatedWatcher extends Caller implements WatchRecord {
  readonly sessions: (WatchSession & { readonly batches: SeenBatch[] })[] = [];
  readonly #options: WatcherOptions;
  /** The first revision that it has not seen. */
  next = 2;
  /** Its revision was compacted away: it lists before it watches again. */
  #lists = false;
  lists = 0;

  constructor(name: string, cluster: Cluster, chance: Chance, options: WatcherOptions) {
    super(name, cluster, chance);
    this.#options = options;
  }

  /** What concerns it. */
  concerns(event: TrueEvent): boolean {
    return event.key.startsWith(this.#options.prefix ?? "");
  }

  protected async act(): Promise<void> {
    await this.pause(between(this.chance, 5, 200));
    const seat = randomChoice(this.chance, this.cluster.seats);
    const { store } = seat;
    if (!store) return;
    if (this.#lists && !(await this.#list(seat, store))) return;
    const session = { start: this.next, batches: [] };
    const request = { startRevision: this.next as Revision, progress: this.#options.progress };
    const stream = store.watch({ ...this.#range(), ...request });
    this.sessions.push(session);
    // Now and then it goes to another member without need.
    const leave = between(this.chance, 500, 6_000);
    await this.#follow(seat, stream, session, leave);
  }

  async #list(seat: Seat, store: Store): Promise<boolean> {
    const answer = await this.askOf(seat, store, (asked) => asked.range(this.#range()));
    if (answer.kind !== "done") return false;
    this.next = answer.value.revision + 1;
    this.lists++;
    this.#lists = false;
    return true;
  }

  #range(): KeyRange {
    const { prefix } = this.#options;
    if (!prefix) return { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };
    const end = bytes(prefix);
    end[end.length - 1] = (end.at(-1) ?? 0) + 1;
    return { key: bytes(prefix), rangeEnd: end };
  }

  /** Until the stream ends, the member dies, or it is time to leave. */
  #follow(
    seat: Seat,
    stream: WatchStream,
    session: { readonly batches: SeenBatch[] },
    leaveAfter: number,
  ): Promise<void> {
    return new Promise((resolve) => {
      let over = false;
      const end = () => {
        if (over) return;
        over = true;
        cancel();
        seat.gone.delete(end);
        stream.close();
        resolve();
      };
      seat.gone.add(end);
      const cancel = this.cluster.world.clock.after(leaveAfter, end);
      this.#read(stream, session, () => over).then(end, (error: unknown) => {
        // The member stopped or fell behind, or this watcher did.
        if (StatusError.from(error).message.includes(compactedText)) this.#lists = true;
        end();
      });
    });
  }

  async #read(
    stream: WatchStream,
    session: { readonly batches: SeenBatch[] },
    over: () => boolean,
  ): Promise<void> {
    const { slowMillis } = this.#options;
    for await (const batch of stream) {
      if (over()) return;
      session.batches.push(seen(batch));
      this.next = Math.max(this.next, batch.revision + 1);
      if (slowMillis) await this.pause(between(this.chance, 1, slowMillis));
      if (over()) return;
    }
  }
}

function seen({ events, revision }: WatchBatch): SeenBatch {
  return {
    revision,
    events: events.map(({ type, kv }) => ({
      revision: kv.modRevision,
      type,
      key: text(kv.key),
      value: text(kv.value),
    })),
  };
}

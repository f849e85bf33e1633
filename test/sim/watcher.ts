/**
 * A watcher that resumes wherever it can, and the guarantees it must see (named as in etcd's API
 * reference): ordered, unique, atomic, reliable, resumable.
 */
import type { KeyValue, Revision, WatchEvent } from "../../ha/store/mod.ts";
import { type Chance, randomChoice } from "./chance.ts";
import { type Cluster, Violation } from "./cluster.ts";

export interface SeenEvent {
  readonly revision: number;
  readonly type: "put" | "delete";
  readonly key: string;
  readonly value: string;
}

const everything = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };

export class SimulatedWatcher {
  readonly #cluster: Cluster;
  readonly #chance: Chance;
  readonly seen: SeenEvent[] = [];
  next = 2;
  resumed = 0;
  stopped = false;

  constructor(cluster: Cluster, chance: Chance) {
    this.#cluster = cluster;
    this.#chance = chance;
  }

  async run(): Promise<void> {
    while (!this.stopped) {
      await this.#pause(20 + this.#chance.below(200));
      const seat = randomChoice(this.#chance, this.#cluster.seats);
      const { store, life } = seat;
      if (!store) continue;
      const stream = store.watch({ ...everything, startRevision: this.next as Revision });
      this.resumed++;
      // A member that crashes says nothing: the watcher looks whether it is still there.
      const patience = this.#cluster.world.clock.every(500, () => {
        if (seat.life !== life || seat.store !== store || this.stopped) this.#leave?.();
      });
      try {
        await Promise.race([this.#read(stream), this.#left()]);
      } catch {
        // The member restarted or fell behind: another one goes on.
      } finally {
        patience();
        stream.close();
      }
    }
  }

  #leave: (() => void) | undefined;

  #left(): Promise<void> {
    return new Promise((resolve) => {
      this.#leave = resolve;
    });
  }

  async #read(stream: AsyncIterable<{ events: readonly WatchEvent[]; revision: Revision }>) {
    for await (const batch of stream) {
      for (const { type, kv } of batch.events) this.#take(type, kv);
      if (batch.revision >= this.next) this.next = batch.revision + 1;
      if (this.stopped) return;
    }
  }

  #take(type: "put" | "delete", kv: KeyValue): void {
    if (kv.modRevision < this.next) {
      const text = `an event of revision ${kv.modRevision} after ${this.next - 1} had been delivered`;
      this.#cluster.failure ??= new Violation(`watch ordered and unique: ${text}`);
    }
    const text = new TextDecoder();
    const event = { type, key: text.decode(kv.key), value: text.decode(kv.value) };
    this.seen.push({ revision: kv.modRevision, ...event });
  }

  #pause(millis: number): Promise<void> {
    return new Promise((resolve) => this.#cluster.world.clock.after(millis, resolve));
  }
}

/** Reliable and atomic: everything that the reference saw, and nothing else. */
export function assertSameEvents(
  name: string,
  seen: readonly SeenEvent[],
  reference: readonly SeenEvent[],
): void {
  for (let i = 0; i < Math.max(seen.length, reference.length); i++) {
    const a = JSON.stringify(seen[i]);
    const b = JSON.stringify(reference[i]);
    if (a !== b) throw new Violation(`watch reliable: ${name} saw ${a} where the store has ${b}`);
  }
}

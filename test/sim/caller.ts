/** A client of the cluster: it makes one call at a time, at a member chosen at random. */
import type { MemberAdmin } from "../../ha/member/mod.ts";
import type { Store } from "../../ha/store/mod.ts";
import { type Chance, randomChoice } from "./chance.ts";
import type { Cluster, Seat } from "./cluster.ts";

/** `lost`: the member died, or no answer came before the caller gave up. */
export type Answer<T> =
  | { readonly kind: "done"; readonly value: T }
  | { readonly kind: "failed"; readonly error: unknown }
  | { readonly kind: "lost" };

const patienceMillis = 8_000;

export abstract class Caller {
  readonly name: string;
  protected readonly cluster: Cluster;
  protected readonly chance: Chance;
  stopped = false;
  idle = true;

  constructor(name: string, cluster: Cluster, chance: Chance) {
    this.name = name;
    this.cluster = cluster;
    this.chance = chance;
  }

  /** What it does, again and again. */
  protected abstract act(): Promise<void>;

  /** Ends soon after `stopped` was set. */
  async run(): Promise<void> {
    this.idle = false;
    while (!this.stopped) await this.act();
    this.idle = true;
  }

  protected get now(): number {
    return this.cluster.world.now;
  }

  protected pause(millis: number): Promise<void> {
    return new Promise((resolve) => this.cluster.world.clock.after(millis, resolve));
  }

  /** Asks a member of its own choice; undefined: it is down, nothing was asked. */
  protected ask<T>(question: (store: Store) => Promise<T>): Promise<Answer<T>> | undefined {
    const seat = randomChoice(this.chance, this.cluster.seats);
    return seat.store && this.askOf(seat, seat.store, question);
  }

  /** The same, of what administrators ask. */
  protected askAdmin<T>(
    question: (admin: MemberAdmin) => Promise<T>,
  ): Promise<Answer<T>> | undefined {
    const seat = randomChoice(this.chance, this.cluster.seats);
    const { store } = seat;
    return store && this.askOf(seat, store, () => question(store.admin));
  }

  /** A promise of a member that crashed never settles: its caller sees the connection break. */
  protected askOf<T>(
    seat: Seat,
    store: Store,
    question: (store: Store) => Promise<T>,
  ): Promise<Answer<T>> {
    return new Promise((resolve) => {
      const lost = () => settle({ kind: "lost" });
      const cancel = this.cluster.world.clock.after(patienceMillis, lost);
      seat.gone.add(lost);
      const settle = (answer: Answer<T>) => {
        cancel();
        seat.gone.delete(lost);
        resolve(answer);
      };
      question(store).then(
        (value) => settle({ kind: "done", value }),
        (error: unknown) => settle({ kind: "failed", error }),
      );
    });
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
export const bytes = (text: string): Uint8Array => encoder.encode(text);
export const text = (value: Uint8Array): string => decoder.decode(value);

/** Tells a candidate early that it may lead soon, so that it can prepare. */
import type { Cancel } from "../runtime/types.ts";
import { holderOf, type Observed } from "./lease-record.ts";
import type { ElectionClock } from "./options.ts";
import type { ElectionOptions } from "./types.ts";

type ProspectOptions = Pick<
  ElectionOptions,
  "identity" | "retryMillis" | "renewDeadlineMillis" | "prospect"
>;

/**
 * The prospect is near while the candidate holds the Lease itself, while the Lease is free, and when
 * a renewal by its holder is late: halfway between when it was due and when the holder gives up.
 */
export class Prospect {
  readonly #options: ProspectOptions;
  readonly #clock: ElectionClock;
  readonly #silentMillis: number;
  #near = false;
  #cancel: Cancel = () => {};

  constructor(options: ProspectOptions, clock: ElectionClock) {
    this.#options = options;
    this.#clock = clock;
    this.#silentMillis = (options.retryMillis + options.renewDeadlineMillis) / 2;
  }

  seen({ lease, atMillis }: Observed): void {
    this.#cancel();
    const holder = holderOf(lease);
    if (holder === "" || holder === this.#options.identity) {
      this.#tell(true);
      return;
    }
    const leftMillis = atMillis + this.#silentMillis - this.#clock.monotonicMillis();
    this.#tell(leftMillis <= 0);
    if (leftMillis > 0) this.#cancel = this.#clock.after(leftMillis, () => this.#tell(true));
  }

  close(): void {
    this.#cancel();
  }

  #tell(near: boolean): void {
    if (near === this.#near) return;
    this.#near = near;
    this.#options.prospect?.(near);
  }
}

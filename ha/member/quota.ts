/**
 * How much this member's data takes on disk, measured now and then, and the alarm that it raises
 * beyond its quota. `apply` refuses writes while the alarm is on (`ha/store/alarms.ts`).
 */
import type { Cancel, Clock, Disk } from "../runtime/types.ts";
import { limits } from "./limits.ts";

export class Quota {
  readonly #disk: Disk;
  readonly #exceeded: () => void;
  readonly #bytesMax: number;
  #measuring = false;
  /** As of the last measurement. */
  diskBytes = 0;

  /** `exceeded` is called at every measurement beyond the quota. */
  constructor(disk: Disk, quotaBytes: number | undefined, exceeded: () => void) {
    this.#disk = disk;
    this.#bytesMax = quotaBytes || limits.quotaBytes;
    this.#exceeded = exceeded;
  }

  start(clock: Clock): Cancel {
    return clock.every(limits.quotaCheckMillis, () => {
      if (this.#measuring) return;
      this.#measuring = true;
      // Never rejects: a measurement that fails keeps the last one.
      void this.measure().finally(() => {
        this.#measuring = false;
      });
    });
  }

  /** A disk that does not answer says so by its writes: here the last measurement stands. */
  async measure(): Promise<number> {
    try {
      this.diskBytes = await this.#disk.bytesUsed();
    } catch {
      return this.diskBytes;
    }
    if (this.#bytesMax > 0 && this.diskBytes > this.#bytesMax) this.#exceeded();
    return this.diskBytes;
  }
}

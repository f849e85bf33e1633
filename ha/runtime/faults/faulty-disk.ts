/** A disk that can be made slow, full or broken. It keeps every promise of {@link Disk}. */
import {
  type Clock,
  type Disk,
  type DiskEntry,
  DiskError,
  type DiskOperation,
  type DiskRange,
} from "../types.ts";
import type { FaultSwitchboard } from "./switchboard.ts";

interface Done {
  readonly done: (error?: DiskError) => void;
  readonly error: DiskError | undefined;
  readonly due: number;
}

const words = {
  full: "no space left on device (a fault that was set on purpose)",
  io: "input/output error (a fault that was set on purpose)",
} as const;

export class FaultyDisk implements Disk {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #faults: FaultSwitchboard;
  /** In order: what is told late holds up what comes after it. */
  readonly #late: Done[] = [];
  #failure: DiskError | undefined;

  constructor(disk: Disk, clock: Clock, faults: FaultSwitchboard) {
    this.#disk = disk;
    this.#clock = clock;
    this.#faults = faults;
  }

  write(
    operations: readonly DiskOperation[],
    options: { readonly sync: boolean },
    done: (error?: DiskError) => void,
  ): void {
    const { failure } = this.#faults.settings.disk;
    if (failure !== undefined) this.#failure ??= new DiskError(failure, words[failure]);
    if (this.#failure !== undefined) {
      this.#tell(done, this.#failure);
      return;
    }
    this.#disk.write(operations, options, (error) => this.#tell(done, error));
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#disk.get(key);
  }

  scan(
    range: DiskRange,
    done: (error: DiskError | undefined, page: readonly DiskEntry[]) => void,
  ): void {
    this.#disk.scan(range, done);
  }

  bytesUsed(): Promise<number> {
    return this.#disk.bytesUsed();
  }

  async compact(): Promise<void> {
    await this.#disk.compact?.();
  }

  close(): Promise<void> {
    return this.#disk.close();
  }

  #tell(done: (error?: DiskError) => void, error: DiskError | undefined): void {
    const { slowMillis = 0 } = this.#faults.settings.disk;
    const now = this.#clock.monotonicMillis();
    const due = Math.max(now + slowMillis, this.#late.at(-1)?.due ?? 0);
    if (due <= now && error === undefined) {
      done();
      return;
    }
    this.#late.push({ done, error, due });
    this.#clock.after(due - now, () => this.#tellDue());
  }

  #tellDue(): void {
    const next = this.#late.shift();
    next?.done(next.error);
  }
}

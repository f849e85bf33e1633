/**
 * Forgets the store's history once it is older than one interval, so that it does not grow for ever
 * (upstream `storage/etcd3/compact.go`). Watches and pages of lists that go on from before then are
 * refused with Expired.
 *
 * All apiservers of a store share the work by one key, those of upstream included. Each tries to write
 * it once an interval, if it is as it was left by the last write that this one knows of. Who succeeds
 * compacts up to the revision at its own last look; the others take note of the write.
 */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Cancel, Clock, Log } from "../../../ha/runtime/types.ts";
import type { Revision, Store } from "../../../ha/store/types.ts";
import { parseGoDuration } from "../../kinds/facts.ts";

const key = Buffer.from("compact_rev_key");
const nanosOfMilli = 1_000_000n;
const intervalMillisMin = 1_000;
const intervalMillisMax = 24 * 3_600_000;

export interface CompactorOptions {
  readonly store: Pick<Store, "txn" | "compact">;
  readonly clock: Pick<Clock, "after">;
  readonly log: Log;
  readonly intervalMillis: number;
}

/** Until the signal aborts. */
export function keepCompacting(options: CompactorOptions, signal: AbortSignal): void {
  const compactor = new Compactor(options);
  signal.addEventListener("abort", () => compactor.close(), { once: true });
}

class Compactor {
  readonly #options: CompactorOptions;
  #cancel: Cancel;
  #closed = false;
  /** How often the key had been written, and the store's revision, at the last look. */
  #version = 0;
  #revision: Revision | undefined;

  constructor(options: CompactorOptions) {
    this.#options = options;
    this.#cancel = this.#later();
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
  }

  #later(): Cancel {
    const { clock, intervalMillis } = this.#options;
    return clock.after(intervalMillis, () => void this.#look());
  }

  async #look(): Promise<void> {
    const { store, log } = this.#options;
    const before = this.#revision;
    try {
      const isTurn = await this.#claim();
      if (isTurn && before !== undefined) {
        await store.compact(before);
        log.info("the store's history is compacted", { revision: before });
      }
    } catch (thrown) {
      const { message } = StatusError.from(thrown);
      if (!this.#closed) log.warn("the store's history is not compacted", { error: message });
    }
    if (!this.#closed) this.#cancel = this.#later();
  }

  /** True: no other apiserver has compacted since the last look. */
  async #claim(): Promise<boolean> {
    const value = Buffer.from(String(this.#revision ?? 0));
    const { succeeded, revision, results } = await this.#options.store.txn({
      compares: [{ key, target: "version", operator: "=", operand: this.#version }],
      success: [{ op: "put", key, value }],
      failure: [{ op: "range", key }],
    });
    const [found] = results;
    const written = found?.op === "range" ? (found.kvs[0]?.version ?? 0) : 0;
    this.#version = succeeded ? this.#version + 1 : written;
    this.#revision = revision;
    return succeeded;
  }
}

/** Of the flag `--etcd-compaction-interval`; 0: never. Throws a StatusError that names it. */
export function compactionMillis(text: string): number {
  const nanos = parseGoDuration(text);
  const millis = nanos === undefined ? Number.NaN : Number(nanos / nanosOfMilli);
  if (nanos === 0n || (millis >= intervalMillisMin && millis <= intervalMillisMax)) return millis;
  throw new StatusError(
    Code.invalidArgument,
    `--etcd-compaction-interval ${text}: must be 0 or a duration from 1s to 24h, e.g. 5m`,
  );
}

/**
 * A member that leads forgets history by itself, as etcd does with `--auto-compaction-retention`
 * (`server/etcdserver/api/v3compactor`):
 *
 *     periodic   what is older than the retention, once an hour, or once a retention if that is less
 *     revision   all but so many of the last revisions, every five minutes
 */
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Cancel, Clock, Log } from "../runtime/types.ts";
import type { MemberStatus, Revision, Store } from "../store/types.ts";

export type Retention =
  | { readonly mode: "periodic"; readonly millis: number }
  | { readonly mode: "revision"; readonly revisions: number };

interface AutoCompactionOptions {
  readonly store: Pick<Store, "compact" | "status" | "onStatus">;
  readonly clock: Pick<Clock, "after" | "monotonicMillis">;
  readonly log: Log;
  readonly retention: Retention;
}

const periodMillisMax = 3_600_000;
const revisionPeriodMillis = 5 * 60_000;
/** How often a period the revision is noted, and a compaction that failed tried again. */
const looksPerPeriod = 10;

export class AutoCompaction {
  readonly #options: AutoCompactionOptions;
  readonly #lookMillis: number;
  readonly #forgetStatus: () => void;
  #cancel: Cancel;
  #leads = false;
  /** Looks back to the retention, the oldest first. */
  #looks: { readonly at: number; readonly revision: Revision }[] = [];
  #done: Revision = 0 as Revision;
  #dueAt: number;

  constructor(options: AutoCompactionOptions) {
    const { store, clock, retention } = options;
    this.#options = options;
    this.#lookMillis = this.#periodMillis / looksPerPeriod;
    this.#dueAt = clock.monotonicMillis() + firstMillis(retention);
    this.#forgetStatus = store.onStatus(({ role }: MemberStatus) => {
      this.#leads = role === "leader";
    });
    this.#cancel = this.#later();
  }

  close(): void {
    this.#forgetStatus();
    this.#cancel();
    this.#cancel = () => {};
  }

  get #periodMillis(): number {
    const { retention } = this.#options;
    if (retention.mode === "revision") return revisionPeriodMillis;
    return Math.min(retention.millis, periodMillisMax);
  }

  #later(): Cancel {
    return this.#options.clock.after(this.#lookMillis, () => {
      this.#cancel = this.#later();
      void this.#look();
    });
  }

  async #look(): Promise<void> {
    const { store, clock, log, retention } = this.#options;
    const now = clock.monotonicMillis();
    try {
      const { revision } = await store.status();
      const target =
        retention.mode === "revision"
          ? revision - retention.revisions
          : this.#revisionBefore(now - retention.millis, { at: now, revision });
      if (!this.#leads || now < this.#dueAt || target <= this.#done) return;
      await store.compact(target as Revision);
      this.#done = target as Revision;
      this.#dueAt = now + this.#periodMillis;
      log.info("history is compacted", { revision: target, mode: retention.mode });
    } catch (thrown) {
      const { message } = StatusError.from(thrown);
      log.warn("history is not compacted", { error: message });
    }
  }

  /** Of the last look that was at that time or before; 0: there is none. */
  #revisionBefore(time: number, look: { readonly at: number; readonly revision: Revision }) {
    this.#looks.push(look);
    const old = this.#looks.filter(({ at }) => at <= time);
    this.#looks = this.#looks.slice(Math.max(0, old.length - 1));
    return old.at(-1)?.revision ?? 0;
  }
}

const firstMillis = (retention: Retention) =>
  retention.mode === "revision" ? revisionPeriodMillis : retention.millis;

const unitMillis: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };
const millisMin = 1_000;
/** Ten years. */
const millisMax = 87_600 * 3_600_000;

/**
 * Of the flags `--auto-compaction-mode` and `--auto-compaction-retention`: a number is one of hours,
 * or of revisions. Undefined: history is kept. Throws invalidArgument, which names the flag.
 */
export function readRetention(mode: string, text: string): Retention | undefined {
  if (mode !== "periodic" && mode !== "revision") {
    throw refuse(`--auto-compaction-mode "${mode}": must be periodic or revision`);
  }
  const isNumber = /^\d{1,15}$/.test(text);
  if (isNumber && Number(text) === 0) return undefined;
  if (mode === "revision") {
    if (isNumber) return { mode, revisions: Number(text) };
    throw refuse(`--auto-compaction-retention "${text}": must be a number of revisions`);
  }
  const parts = [...text.matchAll(/(\d{1,9})([hms])/g)];
  const isDuration = parts.length > 0 && parts.map(([part]) => part).join("") === text;
  const millis = isNumber
    ? Number(text) * (unitMillis["h"] ?? 0)
    : parts.reduce((sum, [, n, unit]) => sum + Number(n) * (unitMillis[unit ?? ""] ?? 0), 0);
  if ((isNumber || isDuration) && millis >= millisMin && millis <= millisMax) {
    return { mode, millis };
  }
  throw refuse(
    `--auto-compaction-retention "${text}": must be hours, or a duration such as 30m, ` +
      "from 1s to ten years",
  );
}

function refuse(text: string): StatusError {
  return new StatusError(Code.invalidArgument, text);
}

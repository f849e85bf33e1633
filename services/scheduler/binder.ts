/** Sends bindings: at once while few calls are under way, and together with others beyond that. */
import type { FencingToken } from "../../ha/election/mod.ts";
import { StatusError } from "../../ha/runtime/status-error.ts";
import type { TriremeClient } from "../client/mod.ts";

export interface BinderLimits {
  /** Calls under way at once; what comes meanwhile waits, and is sent together. */
  readonly callsMax: number;
  /** Bindings of one call. */
  readonly batchMax: number;
}

const binderLimits: BinderLimits = { callsMax: 4, batchMax: 100 };

/** One term of leadership: with what its writes are guarded, and when it ends. */
export interface Leading {
  readonly fence: FencingToken | undefined;
  readonly signal: AbortSignal;
}

interface Entry {
  readonly pod: { readonly name: string; readonly namespace: string; readonly uid?: string };
  readonly nodeName: string;
  readonly leading: Leading;
  readonly settle: (error: StatusError | undefined) => void;
}

export class Binder {
  readonly #client: Pick<TriremeClient, "bind" | "bindAll">;
  readonly #limits: BinderLimits;
  #waiting: Entry[] = [];
  #calls = 0;

  constructor(client: Pick<TriremeClient, "bind" | "bindAll">, limits = binderLimits) {
    this.#client = client;
    this.#limits = limits;
  }

  /** Rejects with what the API answers for this pod. */
  bind(pod: Entry["pod"], nodeName: string, leading: Leading): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error: StatusError | undefined) => (error ? reject(error) : resolve());
      this.#waiting.push({ pod, nodeName, leading, settle });
      this.#send();
    });
  }

  #send(): void {
    while (this.#calls < this.#limits.callsMax && this.#waiting.length > 0) {
      const batch = this.#next();
      this.#calls++;
      // It never rejects: each entry is told its own outcome.
      void this.#call(batch).finally(() => {
        this.#calls--;
        this.#send();
      });
    }
  }

  /** The first that wait, of one leadership. */
  #next(): readonly Entry[] {
    const { batchMax } = this.#limits;
    const leading = this.#waiting[0]?.leading;
    const other = this.#waiting.findIndex((entry) => entry.leading.signal !== leading?.signal);
    const count = Math.min(batchMax, other === -1 ? this.#waiting.length : other);
    const batch = this.#waiting.slice(0, count);
    this.#waiting = this.#waiting.slice(count);
    return batch;
  }

  async #call(batch: readonly Entry[]): Promise<void> {
    const [first] = batch;
    if (first === undefined) return;
    const { pod, nodeName, leading } = first;
    const options = { fence: leading.fence, signal: leading.signal };
    try {
      if (batch.length === 1) {
        await this.#client.bind(pod, nodeName, options);
        first.settle(undefined);
        return;
      }
      const outcomes = await this.#client.bindAll(batch, options);
      for (const [index, entry] of batch.entries()) entry.settle(outcomes[index]);
    } catch (thrown) {
      const error = StatusError.from(thrown);
      for (const entry of batch) entry.settle(error);
    }
  }
}

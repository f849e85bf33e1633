/** Counters that go up by compare-and-swap: no step is skipped, none is taken twice. */

import { Violation } from "../../services/drill/checker/violation.ts";
import { bytes, Caller, text } from "./caller.ts";
import { between, type Chance } from "./chance.ts";
import type { Cluster } from "./cluster.ts";
import { never, type RecordedOperation } from "./history.ts";
import type { TrueEvent } from "./truth.ts";

const prefix = "/counters/";

export class CounterClient extends Caller {
  readonly #history: RecordedOperation[];
  #operations = 0;

  constructor(name: string, cluster: Cluster, chance: Chance, history: RecordedOperation[]) {
    super(name, cluster, chance);
    this.#history = history;
  }

  protected async act(): Promise<void> {
    await this.pause(between(this.chance, 5, 150));
    const key = `${prefix}${this.chance.below(2)}`;
    const read = await this.ask((store) => store.range({ key: bytes(key) }));
    if (read?.kind !== "done") return;
    const [before] = read.value.kvs;
    const count = before ? Number.parseInt(text(before.value), 10) : 0;
    const value = `${count + 1} ${this.name}.${++this.#operations}`;
    const operand = before?.modRevision ?? 0;
    const txn = {
      compares: [{ key: bytes(key), operator: "=", target: "mod", operand } as const],
      success: [{ op: "put", key: bytes(key), value: bytes(value) } as const],
      failure: [],
    };
    const called = this.now;
    const answer = await this.ask((store) => store.txn(txn));
    if (!answer) return;
    const evidence = { client: this.name, called };
    const written = [{ key, value }];
    if (answer.kind !== "done") {
      this.#history.push({ ...evidence, returned: never, revision: undefined, written });
      return;
    }
    const { revision, succeeded } = answer.value;
    const told = { ...evidence, returned: this.now, revision };
    this.#history.push(succeeded ? { ...told, written } : told);
  }
}

/** Every change of a counter is one step up from the one before. */
export function assertCountersStep(events: readonly TrueEvent[]): void {
  const counts = new Map<string, number>();
  for (const { type, key, value, revision } of events) {
    if (!key.startsWith(prefix)) continue;
    const before = counts.get(key) ?? 0;
    const count = type === "put" ? Number.parseInt(value, 10) : 0;
    if (count !== before + 1) {
      const step = `${key} went from ${before} to ${count} at revision ${revision}`;
      throw new Violation(`compare and swap: ${step}`);
    }
    counts.set(key, count);
  }
}

/**
 * Money moves between accounts in transactions guarded by the revisions that were read: no sum is
 * ever lost or made, in no range read, now or at a revision of the past.
 */
import type { Compare, RangeResponse } from "../../ha/store/mod.ts";
import { Violation } from "../../services/drill/checker/violation.ts";
import { bytes, Caller, text } from "./caller.ts";
import { between, type Chance } from "./chance.ts";
import type { Cluster } from "./cluster.ts";
import { type KeyState, never, type RecordedOperation } from "./history.ts";

const accounts = 5;
const openingBalance = 100;
const prefix = "/bank/";
const range = { key: bytes(prefix), rangeEnd: bytes("/bank0") };

export class BankClient extends Caller {
  readonly #history: RecordedOperation[];
  #operations = 0;
  /** Revisions at which it saw the accounts. */
  #past: number[] = [];

  constructor(name: string, cluster: Cluster, chance: Chance, history: RecordedOperation[]) {
    super(name, cluster, chance);
    this.#history = history;
  }

  protected async act(): Promise<void> {
    await this.pause(between(this.chance, 5, 150));
    if (this.#past.length > 0 && this.chance.below(5) === 0) return this.#audit();
    const called = this.now;
    const answer = await this.ask((store) => store.range(range));
    if (answer?.kind !== "done") return;
    const { revision } = answer.value;
    this.#record({ called, returned: this.now, revision, observed: this.#judge(answer.value) });
    if (answer.value.kvs.length === 0) return this.#open();
    this.#past.push(revision);
    await this.#transfer(answer.value);
  }

  /** Reads the past, which does not change. */
  async #audit(): Promise<void> {
    const at = this.#past[this.chance.below(this.#past.length)] as number;
    if (this.#past.length > 20) this.#past = this.#past.slice(-10);
    const called = this.now;
    const request = { ...range, revision: at as RangeResponse["revision"] };
    const answer = await this.ask((store) => store.range(request));
    // Compacted, or no answer.
    if (answer?.kind !== "done") return;
    const { revision } = answer.value;
    const observed = this.#judge(answer.value);
    this.#record({ called, returned: this.now, revision, observed, readAt: at });
  }

  async #open(): Promise<void> {
    const name = `${this.name}.${++this.#operations}`;
    const written = Array.from({ length: accounts }, (_, i) => ({
      key: `${prefix}${i}`,
      value: `${openingBalance} ${name}`,
    }));
    const none = { ...range, operator: "=", target: "version", operand: 0 } as const;
    await this.#write(written, [none]);
  }

  async #transfer({ kvs }: RangeResponse): Promise<void> {
    const from = kvs[this.chance.below(kvs.length)];
    const to = kvs[this.chance.below(kvs.length)];
    if (!from || !to || from === to) return;
    const amount = Math.min(balanceOf(text(from.value)), between(this.chance, 1, 30));
    const name = `${this.name}.${++this.#operations}`;
    const written = [
      { key: text(from.key), value: `${balanceOf(text(from.value)) - amount} ${name}` },
      { key: text(to.key), value: `${balanceOf(text(to.value)) + amount} ${name}` },
    ];
    const unchanged = [from, to].map(
      ({ key, modRevision }) =>
        ({ key, operator: "=", target: "mod", operand: modRevision }) as const,
    );
    await this.#write(written, unchanged);
  }

  async #write(written: readonly KeyState[], compares: readonly Compare[]): Promise<void> {
    const called = this.now;
    const success = written.map(
      ({ key, value }) => ({ op: "put", key: bytes(key), value: bytes(value ?? "") }) as const,
    );
    const requestId =
      this.chance.below(2) === 0 ? `id-${this.name}.${this.#operations}` : undefined;
    const txn = { compares: [...compares], success, failure: [] };
    const answer = await this.ask((store) => store.txn(txn, { requestId }));
    if (!answer) return;
    if (answer.kind !== "done") {
      this.#record({ called, returned: never, revision: undefined, written });
      return;
    }
    const { revision, succeeded } = answer.value;
    const evidence = { called, returned: this.now, revision };
    this.#record(succeeded ? { ...evidence, written } : evidence);
  }

  /** The accounts as states; their sum is right. */
  #judge({ kvs, revision }: RangeResponse): KeyState[] {
    const states = kvs.map(({ key, value }) => ({ key: text(key), value: text(value) }));
    const sum = states.reduce((total, { value }) => total + balanceOf(value), 0);
    if (states.length > 0 && sum !== accounts * openingBalance) {
      const shown = JSON.stringify(states);
      throw new Violation(`atomic txn: the accounts sum up to ${sum} at ${revision}: ${shown}`);
    }
    return states;
  }

  #record(evidence: Omit<RecordedOperation, "client">): void {
    this.#history.push({ client: this.name, ...evidence });
  }
}

function balanceOf(value: string): number {
  return Number.parseInt(value, 10);
}

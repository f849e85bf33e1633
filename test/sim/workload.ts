/** Clients of a simulated cluster: what they did, and what they were told. */

import type { Store, TxnResponse } from "../../ha/store/mod.ts";
import { type Chance, randomChoice } from "./chance.ts";
import type { Cluster } from "./cluster.ts";
import type { HistoryOperation, RegisterAction, RegisterValue } from "./linearizability.ts";

const keys = ["/a", "/b", "/c", "/d"];
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const bytes = (text: string) => encoder.encode(text);

export interface RecordedOperation extends HistoryOperation {
  readonly key: string;
  /** Revision at which a write happened, when known. */
  readonly revision: number | undefined;
}

/** One client: an operation at a time, at whatever member comes to mind. */
export class Client {
  readonly name: string;
  readonly #cluster: Cluster;
  readonly #chance: Chance;
  readonly #history: RecordedOperation[];
  #operations = 0;
  stopped = false;
  idle = true;

  constructor(name: string, cluster: Cluster, chance: Chance, history: RecordedOperation[]) {
    this.name = name;
    this.#cluster = cluster;
    this.#chance = chance;
    this.#history = history;
  }

  async run(): Promise<void> {
    this.idle = false;
    while (!this.stopped) {
      await this.#pause(1 + this.#chance.below(60));
      const store = this.#anyStore();
      if (store) await this.#operate(store);
    }
    this.idle = true;
  }

  #pause(millis: number): Promise<void> {
    return new Promise((resolve) => this.#cluster.world.clock.after(millis, resolve));
  }

  #anyStore(): Store | undefined {
    return randomChoice(this.#chance, this.#cluster.seats).store;
  }

  async #operate(store: Store): Promise<void> {
    const key = randomChoice(this.#chance, keys);
    const value = `${this.name}.${++this.#operations}`;
    const dice = this.#chance.below(10);
    if (dice < 4) await this.#read(store, key);
    else if (dice < 6) await this.#write(store, key, value, undefined);
    else if (dice < 8) await this.#write(store, key, value, `id-${value}`);
    else if (dice < 9) await this.#swap(store, key, value);
    else await this.#remove(store, key);
  }

  async #read(store: Store, key: string): Promise<void> {
    const called = this.#cluster.world.now;
    const answer = await this.#answer(store.range({ key: bytes(key) }));
    // A read without an answer says nothing.
    if (!answer) return;
    const [kv] = answer.kvs;
    const action = { kind: "read", value: kv && decoder.decode(kv.value) } as const;
    this.#record(key, action, called, this.#cluster.world.now, undefined);
  }

  /** With a request id it is repeated, anywhere, until an answer comes: it must happen once. */
  async #write(
    store: Store,
    key: string,
    value: string,
    requestId: string | undefined,
  ): Promise<void> {
    const called = this.#cluster.world.now;
    const put = { op: "put", key: bytes(key), value: bytes(value) } as const;
    const txn = { compares: [], success: [put], failure: [] };
    let answer = await this.#answer(store.txn(txn, { requestId }));
    for (let attempt = 1; requestId && !answer && attempt < 8 && !this.stopped; attempt++) {
      await this.#pause(50 + this.#chance.below(400));
      const other = this.#anyStore();
      if (other) answer = await this.#answer(other.txn(txn, { requestId }));
    }
    this.#record(key, { kind: "write", value }, called, this.#returned(answer), answer?.revision);
  }

  async #swap(store: Store, key: string, value: string): Promise<void> {
    const before = await this.#answer(store.range({ key: bytes(key) }));
    if (!before) return;
    const [kv] = before.kvs;
    const expected: RegisterValue = kv && decoder.decode(kv.value);
    const called = this.#cluster.world.now;
    const same =
      kv === undefined
        ? ({ key: bytes(key), operator: "=", target: "version", operand: 0 } as const)
        : ({ key: bytes(key), operator: "=", target: "value", operand: kv.value } as const);
    const put = { op: "put", key: bytes(key), value: bytes(value) } as const;
    const answer = await this.#answer(store.txn({ compares: [same], success: [put], failure: [] }));
    const done = answer ? answer.succeeded : "unknown";
    const action = { kind: "swap", expected, value, done } as const;
    const revision = answer?.succeeded ? answer.revision : undefined;
    this.#record(key, action, called, this.#returned(answer), revision);
  }

  async #remove(store: Store, key: string): Promise<void> {
    const called = this.#cluster.world.now;
    const remove = { op: "delete", key: bytes(key) } as const;
    const answer = await this.#answer(store.txn({ compares: [], success: [remove], failure: [] }));
    this.#record(
      key,
      { kind: "write", value: undefined },
      called,
      this.#returned(answer),
      undefined,
    );
  }

  #returned(answer: TxnResponse | undefined): number {
    return answer ? this.#cluster.world.now : Number.POSITIVE_INFINITY;
  }

  /**
   * Undefined: an error, or no answer for so long that nobody waits any more. A promise of a member
   * that crashed never settles.
   */
  #answer<T>(promise: Promise<T>): Promise<T | undefined> {
    return new Promise((resolve) => {
      const cancel = this.#cluster.world.clock.after(8_000, () => resolve(undefined));
      const settle = (value: T | undefined) => {
        cancel();
        resolve(value);
      };
      promise.then(settle, () => settle(undefined));
    });
  }

  #record(
    key: string,
    action: RegisterAction,
    called: number,
    returned: number,
    revision: number | undefined,
  ): void {
    this.#history.push({ client: this.name, key, action, called, returned, revision });
  }
}

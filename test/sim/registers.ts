/** Reads, writes, swaps and deletes of a few keys; writes with a request id are repeated anywhere. */
import type { KeyValue, TxnRequest, TxnResponse } from "../../ha/store/mod.ts";
import type { RegisterAction } from "../../services/drill/checker/linearizability.ts";
import { Violation } from "../../services/drill/checker/violation.ts";
import { type Answer, bytes, Caller, text } from "./caller.ts";
import { between, type Chance, randomChoice } from "./chance.ts";
import type { Cluster } from "./cluster.ts";
import { type KeyState, never, type RecordedOperation } from "./history.ts";

const keys = ["/registers/a", "/registers/b", "/registers/c", "/registers/d"];
const attemptsMax = 8;

export class RegisterClient extends Caller {
  readonly #history: RecordedOperation[];
  #operations = 0;

  constructor(name: string, cluster: Cluster, chance: Chance, history: RecordedOperation[]) {
    super(name, cluster, chance);
    this.#history = history;
  }

  protected async act(): Promise<void> {
    await this.pause(between(this.chance, 1, 80));
    const key = randomChoice(this.chance, keys);
    const value = `${this.name}.${++this.#operations}`;
    const dice = this.chance.below(20);
    if (dice < 8) await this.#read(key);
    else if (dice < 11) await this.#write(key, value, undefined);
    else if (dice < 16) await this.#write(key, value, `id-${value}`);
    else if (dice < 18) await this.#swap(key, value);
    else await this.#remove(key);
  }

  async #read(key: string): Promise<KeyValue | undefined | "unknown"> {
    const called = this.now;
    const answer = await this.ask((store) => store.range({ key: bytes(key) }));
    // A read without an answer says nothing.
    if (answer?.kind !== "done") return "unknown";
    const { kvs, revision } = answer.value;
    const value = kvs[0] && text(kvs[0].value);
    this.#record({ called, revision, observed: [{ key, value }] }, key, { kind: "read", value });
    return kvs[0];
  }

  /** With a request id it is repeated, anywhere, until an answer comes: it must happen once. */
  async #write(key: string, value: string, requestId: string | undefined): Promise<void> {
    const called = this.now;
    const txn = putTxn(key, value);
    const ask = () => this.ask((store) => store.txn(txn, { requestId }));
    let answer = await ask();
    if (!requestId && !answer) return;
    for (let i = 1; requestId && answer?.kind !== "done" && i < attemptsMax && !this.stopped; i++) {
      await this.pause(between(this.chance, 50, 400));
      answer = await ask();
    }
    const done = answered(answer);
    const returned = done ? this.now : never;
    const written = [{ key, value }];
    const evidence = { called, returned, revision: done?.revision, written, requestId };
    this.#record(evidence, key, { kind: "write", value });
    if (done && requestId && this.chance.below(3) === 0) await this.#repeat(txn, requestId, done);
  }

  /** Asked again after it was answered, it is answered alike. */
  async #repeat(txn: TxnRequest, requestId: string, first: TxnResponse): Promise<void> {
    await this.pause(between(this.chance, 1, 2_000));
    const again = answered(await this.ask((store) => store.txn(txn, { requestId })));
    if (!again || (again.replayed && again.revision === first.revision)) return;
    const both = `at revision ${first.revision}, then at ${again.revision}`;
    throw new Violation(`exactly once: request ${requestId} was done ${both}`);
  }

  async #swap(key: string, value: string): Promise<void> {
    const before = await this.#read(key);
    if (before === "unknown") return;
    const expected = before && text(before.value);
    const called = this.now;
    const same = before
      ? ({ key: bytes(key), operator: "=", target: "value", operand: before.value } as const)
      : ({ key: bytes(key), operator: "=", target: "version", operand: 0 } as const);
    const txn = { ...putTxn(key, value), compares: [same] };
    const answer = await this.ask((store) => store.txn(txn));
    if (!answer) return;
    const done = answered(answer);
    const returned = done ? this.now : never;
    const action = { kind: "swap", expected, value, done: done?.succeeded ?? "unknown" } as const;
    const written = done && !done.succeeded ? undefined : [{ key, value }];
    const evidence = { called, returned, revision: done?.revision };
    this.#record(written ? { ...evidence, written } : evidence, key, action);
  }

  async #remove(key: string): Promise<void> {
    const called = this.now;
    const remove = { op: "delete", key: bytes(key) } as const;
    const txn = { compares: [], success: [remove], failure: [] };
    const answer = await this.ask((store) => store.txn(txn));
    if (!answer) return;
    const done = answered(answer);
    const states: readonly KeyState[] = [{ key, value: undefined }];
    const [result] = done?.results ?? [];
    // Where nothing was, nothing is written: then it was a read.
    const nothing = result?.op === "delete" && result.deleted === 0;
    const evidence = {
      called,
      returned: done ? this.now : never,
      revision: done?.revision,
      ...(nothing ? { observed: states } : { written: states }),
    };
    this.#record(evidence, key, { kind: "write", value: undefined });
  }

  #record(
    evidence: Omit<RecordedOperation, "client" | "returned" | "register"> & { returned?: number },
    key: string,
    action: RegisterAction,
  ): void {
    const register = { key, action };
    this.#history.push({ client: this.name, returned: this.now, ...evidence, register });
  }
}

export function putTxn(key: string, value: string): TxnRequest {
  const put = { op: "put", key: bytes(key), value: bytes(value) } as const;
  return { compares: [], success: [put], failure: [] };
}

function answered(answer: Answer<TxnResponse> | undefined): TxnResponse | undefined {
  return answer?.kind === "done" ? answer.value : undefined;
}

/** Drives a state machine as a member does, one proposal at a time. */
import type { MemberId } from "../../ha/runtime/types.ts";
import {
  type Command,
  encodeProposal,
  loadStateMachine,
  type Operation,
  pageReader,
  StateMachine,
  type StateMachineOptions,
  type TxnRequest,
  type TxnResponse,
} from "../../ha/store/mod.ts";
import { MemoryDisk } from "./memory-runtime.ts";

export const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");
export const text = (value: Uint8Array): string => Buffer.from(value).toString("latin1");
export const self = { member: 1 as MemberId, incarnation: 7 };

export const put = (key: string, value: string, lease?: bigint): Operation => ({
  op: "put",
  key: bytes(key),
  value: bytes(value),
  lease,
});
export const remove = (key: string, end?: string): Operation => ({
  op: "delete",
  key: bytes(key),
  rangeEnd: end === undefined ? undefined : bytes(end),
});
export const does = (...success: Operation[]): TxnRequest => ({
  compares: [],
  success,
  failure: [],
});

export class Machine {
  readonly disk: MemoryDisk;
  readonly machine: StateMachine;
  wallMillis = 1000;
  /** Commands whose changes are written to the disk together. */
  commandsPerWrite = 1;
  private unwritten = 0;
  private sequence = 0;

  constructor(disk = new MemoryDisk(), options: StateMachineOptions = { self }) {
    this.disk = disk;
    this.machine = new StateMachine(disk, options);
  }

  static async load(disk: MemoryDisk, options: StateMachineOptions = { self }): Promise<Machine> {
    const loaded = new Machine(disk, options);
    await loadStateMachine(loaded.machine, disk, pageReader(disk));
    return loaded;
  }

  encode(commands: readonly Command[], requestId?: string): Uint8Array {
    return encodeProposal({
      proposer: self.member,
      incarnation: self.incarnation,
      wallMillis: this.wallMillis,
      commands: commands.map((command) => ({ sequence: ++this.sequence, requestId, command })),
    });
  }

  apply(command: Command, requestId?: string) {
    const { machine } = this;
    const [applied] = machine.apply(
      machine.appliedIndex + 1,
      1,
      Uint8Array.from(this.encode([command], requestId)),
    );
    this.unwritten++;
    if (this.unwritten >= this.commandsPerWrite) this.write();
    return applied!.outcome;
  }

  write(): void {
    this.unwritten = 0;
    this.disk.write(this.machine.takeOperations(), { sync: false }, () => undefined);
  }

  txn(txn: TxnRequest, requestId?: string): TxnResponse {
    const outcome = this.apply({ kind: "txn", txn }, requestId);
    if (outcome.kind === "failed") throw outcome.error;
    if (outcome.kind !== "txn") throw new Error(outcome.kind);
    return outcome.response;
  }

  put(key: string, value: string, lease?: bigint): TxnResponse {
    return this.txn(does(put(key, value, lease)));
  }

  compact(revision: number): void {
    const outcome = this.apply({ kind: "compact", revision });
    if (outcome.kind === "failed") throw outcome.error;
    const each = this.commandsPerWrite === 1;
    while (this.machine.compactStep(3)) if (each) this.write();
    if (each) this.write();
  }
}

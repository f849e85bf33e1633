/**
 * The alarms of all members. They are replicated, so that `apply` refuses the same commands on
 * every member. Semantics of etcd's alarms (server `apply.go`, `applierV3Capped` and
 * `applierV3Corrupt`): NOSPACE refuses what adds data, CORRUPT refuses everything.
 */
import type { StoreCommand, TxnCommand } from "./commands.ts";
import * as errors from "./errors.ts";
import type { AlarmRecord } from "./layout.ts";

export const AlarmType = { noSpace: 1, corrupt: 2 } as const;
export type AlarmType = (typeof AlarmType)[keyof typeof AlarmType];

export class Alarms {
  #active: readonly AlarmRecord[] = [];

  /** By member, then kind. */
  get active(): readonly AlarmRecord[] {
    return this.#active;
  }

  has({ member, kind }: AlarmRecord): boolean {
    return this.#active.some((alarm) => alarm.member === member && alarm.kind === kind);
  }

  raised(kind: AlarmType): boolean {
    return this.#active.some((alarm) => alarm.kind === kind);
  }

  /** True when the set of alarms has changed. */
  set(alarm: AlarmRecord, active: boolean): boolean {
    if (this.has(alarm) === active) return false;
    const others = this.#active.filter((a) => a.member !== alarm.member || a.kind !== alarm.kind);
    const next = active ? [...others, alarm] : others;
    this.#active = next.sort((a, b) => a.member - b.member || a.kind - b.kind);
    return true;
  }

  restore(alarms: readonly AlarmRecord[]): void {
    this.#active = alarms;
  }

  /** Throws `corrupt` or `noSpace` when an alarm forbids the command. */
  check(command: StoreCommand): void {
    if (this.#active.length === 0 || command.kind === "alarm") return;
    if (this.raised(AlarmType.corrupt)) throw errors.corrupt();
    if (!this.raised(AlarmType.noSpace)) return;
    if (command.kind === "leaseGrant") throw errors.noSpace();
    if (command.kind === "txn" && puts(command.txn)) throw errors.noSpace();
  }
}

/** Either branch counts: which one is taken would have to be found out first. */
function puts(txn: TxnCommand): boolean {
  return [...txn.success, ...txn.failure].some(
    (operation) => operation.op === "put" || (operation.op === "txn" && puts(operation)),
  );
}

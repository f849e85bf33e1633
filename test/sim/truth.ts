/**
 * What really happened, seen from above: every member tells what it applies, and the first to apply
 * an index says what is true there. Everybody else is held to it, at once.
 */
import { AlarmType, StateMachine } from "../../ha/store/mod.ts";
import { Violation } from "../../services/drill/checker/violation.ts";

export interface TrueEvent {
  readonly revision: number;
  readonly type: "put" | "delete";
  readonly key: string;
  readonly value: string;
  readonly lease: bigint;
  /** World time at which the first member applied it. */
  readonly at: number;
}

interface TrueEntry {
  readonly term: number;
  readonly digest: number;
  readonly revision: number;
  hash: number | undefined;
}

/** Every so many entries the whole states are compared. */
const hashEvery = 16;

export class Truth {
  readonly #now: () => number;
  /** Whether states differ is left for the members to find out. */
  readonly #blind: boolean;
  readonly #entries = new Map<number, TrueEntry>();
  /** Events of revision r at index r. */
  readonly #revisions: (readonly TrueEvent[])[] = [];
  /** The newest compaction that was applied. */
  compactRevision = 0;
  violation: Violation | undefined;

  constructor(now: () => number, blind = false) {
    this.#now = now;
    this.#blind = blind;
  }

  /** All events of all revisions, in order. */
  get events(): readonly TrueEvent[] {
    return this.#revisions.flat();
  }

  get revision(): number {
    return Math.max(1, this.#revisions.length - 1);
  }

  at(revision: number): readonly TrueEvent[] {
    return this.#revisions[revision] ?? [];
  }

  /** A machine has carried out an entry. */
  applied(machine: StateMachine, index: number, term: number, data: Uint8Array): void {
    const digest = digestOf(data);
    const known = this.#entries.get(index);
    const revision = machine.revision as number;
    this.compactRevision = Math.max(this.compactRevision, machine.compactRevision);
    this.#heedAlarms(machine);
    const compared = index % hashEvery === 0 && !this.#blind;
    if (!known) {
      const hash = compared ? machine.hash() : undefined;
      this.#entries.set(index, { term, digest, revision, hash });
      this.#learn(machine, revision);
      return;
    }
    if (known.term !== term || known.digest !== digest) {
      this.#broken(
        `log matching: at index ${index} one member applied an entry of term ${known.term}, ` +
          `another one of term ${term}`,
      );
    }
    if (known.revision !== revision) {
      const both = `${known.revision} and ${revision}`;
      this.#broken(`state equality: after index ${index} members are at revisions ${both}`);
    }
    if (!compared) return;
    known.hash ??= machine.hash();
    if (known.hash !== machine.hash()) {
      this.#broken(`state equality: after index ${index} members hold different states`);
    }
  }

  /** In a world of correct members none of them finds that their states differ. */
  #heedAlarms({ alarms }: StateMachine): void {
    if (!alarms.raised(AlarmType.corrupt)) return;
    const named = alarms.active.filter(({ kind }) => kind === AlarmType.corrupt);
    const members = named.map(({ member }) => member).join(", ");
    this.#broken(`corruption alarm: the state of member ${members} differs from the others'`);
  }

  #learn(machine: StateMachine, revision: number): void {
    const at = this.#now();
    for (let next = Math.max(2, this.#revisions.length); next <= revision; next++) {
      const changes = machine.record(next) ?? [];
      this.#revisions[next] = changes.map(
        (change): TrueEvent => ({
          revision: next,
          type: change.deleted ? "delete" : "put",
          key: change.key,
          value: change.value,
          lease: change.lease,
          at,
        }),
      );
    }
    for (const hole of [0, 1]) this.#revisions[hole] ??= [];
  }

  #broken(text: string): void {
    this.violation ??= new Violation(text);
  }
}

/** All machines of the present run tell this truth what they apply. */
let present: Truth | undefined;

export function observe(truth: Truth | undefined): void {
  present = truth;
}

const { apply } = StateMachine.prototype;
StateMachine.prototype.apply = function observedApply(index, term, proposal) {
  const outcomes = apply.call(this, index, term, proposal);
  present?.applied(this, index, term, proposal);
  return outcomes;
};

function digestOf(data: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of data) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

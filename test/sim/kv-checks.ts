/**
 * What the key-value store promises, each promise a function that throws the Violation of its name.
 *
 * The truth is a total order of writes. A history is strictly serializable when everybody's answers
 * fit this order and the order fits real time: that is decided in one pass, without a search. The
 * search of `linearizability.ts`, which knows nothing of revisions, judges the same operations.
 */

import {
  checkRegister,
  type HistoryOperation,
} from "../../services/drill/checker/linearizability.ts";
import { Violation } from "../../services/drill/checker/violation.ts";
import type { RecordedOperation } from "./history.ts";
import type { TrueEvent } from "./truth.ts";

/** Every key at every revision. */
export class Timeline {
  readonly #byKey = new Map<string, TrueEvent[]>();
  readonly #byRevision: ReadonlyMap<number, readonly TrueEvent[]>;

  constructor(events: readonly TrueEvent[]) {
    this.#byRevision = Map.groupBy(events, (event) => event.revision);
    for (const event of events) {
      const known = this.#byKey.get(event.key);
      if (known) known.push(event);
      else this.#byKey.set(event.key, [event]);
    }
  }

  at(revision: number): readonly TrueEvent[] {
    return this.#byRevision.get(revision) ?? [];
  }

  eventsOf(key: string): readonly TrueEvent[] {
    return this.#byKey.get(key) ?? [];
  }

  value(key: string, revision: number): string | undefined {
    const last = this.eventsOf(key).findLast((event) => event.revision <= revision);
    return last?.type === "put" ? last.value : undefined;
  }
}

/** An acknowledged write is there, at the revision that was told, as it was asked for. */
export function assertNoLostWrite(history: readonly RecordedOperation[], timeline: Timeline): void {
  for (const op of history) {
    if (!op.written || op.revision === undefined) continue;
    const there = timeline.at(op.revision);
    for (const { key, value } of op.written) {
      const found = there.find((event) => event.key === key);
      if (found && (found.type === "put" ? found.value : undefined) === value) continue;
      const what = `${op.client} was told that ${key} = ${value} at revision ${op.revision}`;
      throw new Violation(
        `no lost write: ${what}, where the store has ${JSON.stringify(there, big)}`,
      );
    }
  }
}

/** Every value is written by one operation of one client: it appears at most once. */
export function assertExactlyOnce(events: readonly TrueEvent[]): void {
  const seen = new Map<string, number>();
  for (const { type, key, value, revision } of events) {
    if (type !== "put") continue;
    const name = `${key} = ${value}`;
    const before = seen.get(name);
    if (before !== undefined) {
      throw new Violation(`exactly once: ${name} at revisions ${before} and ${revision}`);
    }
    seen.set(name, revision);
  }
}

/** What an answer says was there, was there at its revision. */
export function assertReadsTrue(history: readonly RecordedOperation[], timeline: Timeline): void {
  for (const op of history) {
    const at = op.readAt ?? op.revision;
    if (!op.observed || at === undefined) continue;
    for (const { key, value } of op.observed) {
      const truth = timeline.value(key, at);
      if (truth === value) continue;
      const where = `${key} at revision ${at}`;
      throw new Violation(`reads true: ${op.client} read ${where} as ${value}, which is ${truth}`);
    }
  }
}

/**
 * The order of revisions is an order of real time: nothing that was answered before an operation
 * began lies beyond that operation.
 */
export function assertStrictlySerializable(history: readonly RecordedOperation[]): void {
  const known = history.filter((op) => op.revision !== undefined);
  const byCall = [...known].sort((a, b) => a.called - b.called);
  const byReturn = [...known].sort((a, b) => a.returned - b.returned);
  let done = 0;
  let newest: RecordedOperation | undefined;
  for (const op of byCall) {
    for (; (byReturn[done]?.returned ?? Number.POSITIVE_INFINITY) < op.called; done++) {
      const earlier = byReturn[done];
      if (revisionOf(earlier) > revisionOf(newest)) newest = earlier;
    }
    const bound = revisionOf(newest);
    const fits = op.written ? revisionOf(op) > bound : revisionOf(op) >= bound;
    if (fits) continue;
    throw new Violation(
      `strictly serializable: ${describe(op)}, though before it ${describe(newest ?? op)}`,
    );
  }
}

/** The revisions that one client sees, one operation after the other, never decrease. */
export function assertReadsNeverGoBack(history: readonly RecordedOperation[]): void {
  for (const [client, operations] of Map.groupBy(history, (op) => op.client)) {
    let before = 0;
    for (const op of operations) {
      if (op.revision === undefined || op.written) continue;
      if (op.revision < before) {
        const both = `revision ${op.revision} after ${before}`;
        throw new Violation(`reads never go back: ${client} saw ${both}`);
      }
      before = op.revision;
    }
  }
}

/** Each key by itself, told nothing about revisions, is a linearizable register. */
export function assertLinearizable(history: readonly RecordedOperation[]): void {
  const byKey = new Map<string, HistoryOperation[]>();
  for (const { client, called, returned, register } of history) {
    if (!register) continue;
    const operation = { client, called, returned, action: register.action };
    const known = byKey.get(register.key);
    if (known) known.push(operation);
    else byKey.set(register.key, [operation]);
  }
  for (const [key, operations] of byKey) {
    const result = checkRegister(operations, undefined);
    if (!result) continue;
    const lines = result.around.map(
      (op) =>
        `${op.called.toFixed(1)}–${op.returned.toFixed(1)} ${op.client} ${JSON.stringify(op.action)}`,
    );
    throw new Violation(
      `linearizable: ${key}: ${result.explained} of ${operations.length} operations can be ` +
        `explained, but not all of these:\n${lines.join("\n")}`,
    );
  }
}

function revisionOf(op: RecordedOperation | undefined): number {
  return op?.revision ?? 0;
}

function describe(op: RecordedOperation): string {
  const what = op.written ? "wrote" : "read";
  const when = `${op.called.toFixed(1)}–${op.returned.toFixed(1)} ms`;
  return `${op.client} ${what} at revision ${op.revision} (${when})`;
}

function big(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

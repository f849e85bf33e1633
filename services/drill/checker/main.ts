/**
 * The checker as a process of its own, so that a history that is too much for it takes neither the
 * memory nor the time of the drill: `node checker/main.ts FOLDER` prints what it found as JSON.
 */
import { type CallRecord, type Evidence, readEvidence, type WatchRecordLine } from "../evidence.ts";
import { checkRegister, type HistoryOperation, type RegisterAction } from "./linearizability.ts";
import { Violation } from "./violation.ts";
import {
  assertOrdered,
  assertUnique,
  assertWatchGuarantees,
  type SeenBatch,
  type WatchRecord,
  type WatchSession,
} from "./watch-checks.ts";

export interface CheckerResult {
  readonly linearizable: "yes" | "no" | "undecided";
  /** Where it is not, or why it could not be decided. */
  readonly detail: string | undefined;
  readonly registerCalls: number;
  /** Guarantees of the watch that were broken. */
  readonly watch: readonly string[];
}

export function check(evidence: Evidence): CheckerResult {
  return { ...checkHistory(evidence), watch: checkWatches(evidence) };
}

function checkHistory({ calls, plan }: Evidence): Omit<CheckerResult, "watch"> {
  const byKey = Map.groupBy(
    calls.filter(({ op }) => op !== "create"),
    ({ key }) => key,
  );
  let registerCalls = 0;
  for (const [key, own] of byKey) {
    const history = own.flatMap((call) => operationOf(call) ?? []);
    registerCalls += history.length;
    try {
      const found = checkRegister(history, `${plan.run}.${key}.first`);
      if (found === undefined) continue;
      const around = found.around.slice(0, 6).map(describe).join("; ");
      const detail = `${key}: ${found.explained} of ${history.length} calls fit, not all of: ${around}`;
      return { linearizable: "no", detail, registerCalls };
    } catch (thrown) {
      if (!(thrown instanceof RangeError)) throw thrown;
      return { linearizable: "undecided", detail: `${key}: ${thrown.message}`, registerCalls };
    }
  }
  return { linearizable: "yes", detail: undefined, registerCalls };
}

/** A read without an answer says nothing; a write without one may have been done. */
function operationOf({
  op,
  client,
  value,
  t,
  end,
  code,
}: CallRecord): HistoryOperation | undefined {
  const returned = code === "OK" && end !== undefined ? end : Number.POSITIVE_INFINITY;
  if (op === "read" && returned === Number.POSITIVE_INFINITY) return undefined;
  const action: RegisterAction = { kind: op === "read" ? "read" : "write", value };
  return { client, action, called: t, returned };
}

function describe({ client, action, called, returned }: HistoryOperation): string {
  const { kind } = action;
  const value = "value" in action ? action.value : "";
  return `${client} ${kind} ${value} (${called.toFixed(1)}–${returned.toFixed(1)} ms)`;
}

function checkWatches({ watches, outcome }: Evidence): string[] {
  const broken: string[] = [];
  for (const [name, lines] of Map.groupBy(watches, ({ watcher }) => watcher)) {
    const record = recordOf(name, lines, outcome?.toRevision ?? Number.POSITIVE_INFINITY);
    try {
      if (outcome?.changes) assertWatchGuarantees(record, outcome.changes);
      else {
        assertOrdered(record);
        assertUnique(record);
      }
    } catch (thrown) {
      if (!(thrown instanceof Violation)) throw thrown;
      broken.push(thrown.message);
    }
  }
  return broken;
}

/** What came after the last revision that is known is left out. */
function recordOf(name: string, lines: readonly WatchRecordLine[], last: number): WatchRecord {
  const sessions: (WatchSession & { readonly batches: SeenBatch[] })[] = [];
  for (const line of lines) {
    if (line.kind === "session") sessions.push({ start: line.start, batches: [] });
    if (line.kind === "batch" && line.revision <= last) sessions.at(-1)?.batches.push(line);
  }
  return { name, sessions };
}

if (import.meta.main) {
  const [folder = ""] = process.argv.slice(2);
  process.stdout.write(JSON.stringify(check(readEvidence(folder))));
}

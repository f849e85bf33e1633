/**
 * Reads what one member knows when the others are lost: its state, and the log entries beyond it.
 *
 * An acknowledged write is in the logs of a quorum, but this member cannot tell whether it was part
 * of that quorum. Entries of its log beyond the commit index it knows of may never have been
 * acknowledged; they are kept, since losing an acknowledged write would be worse.
 */
import { type Entry, EntryKind } from "../raft/mod.ts";
import type { Disk } from "../runtime/types.ts";
import { loadStateMachine, pageReader, Snapshot, StateMachine } from "../store/mod.ts";
import { backupPieces } from "./backup.ts";
import { foundation } from "./data-directory.ts";
import { writeAll } from "./installer.ts";
import { LogStore, readIdentity, scanAll } from "./log-store.ts";

export interface Salvaged {
  /** As a backup. */
  readonly pieces: AsyncGenerator<Uint8Array, void, undefined>;
  readonly member: string;
  readonly revision: number;
  /** Entries of which this member does not know that they were committed. */
  readonly uncertainEntries: number;
  readonly commitIndex: number;
  readonly lastIndex: number;
}

const pageEntries = 500;

/** The disk is written to: it must be a copy. Rejects with what cannot be read. */
export async function salvage(disk: Disk, wallMillis: number): Promise<Salvaged> {
  for await (const _staged of scanAll(disk, 0x49, 1)) {
    throw new Error(
      "the member was taking over a snapshot when it stopped: start it once, so that it finishes",
    );
  }
  const identity = readIdentity(disk);
  const machine = new StateMachine(disk);
  await loadStateMachine(machine, disk, pageReader(disk));
  const initial = foundation({ cluster: [], initialClusterState: "existing" });
  const { hardState, start, entries } = await new LogStore().load(disk, initial, pageEntries);
  applyLog(machine, entries);
  await writeAll(disk, machine.takeOperations(), true);
  const lastIndex = entries.at(-1)?.index ?? start.index;
  const commitIndex = Math.max(hardState.commit, start.index);
  const snapshot = new Snapshot(machine);
  const header = {
    cluster: identity?.cluster ?? 0,
    member: identity?.name ?? "",
    wallMillis,
    sinceRevision: 0,
    peers: [],
  };
  return {
    pieces: backupPieces(snapshot, pageReader(disk), header),
    member: header.member,
    revision: machine.revision,
    uncertainEntries: lastIndex - commitIndex,
    commitIndex,
    lastIndex,
  };
}

/** Applies what the log holds beyond the state. */
export function applyLog(machine: StateMachine, entries: readonly Entry[]): void {
  for (const { index, term, kind, data } of entries) {
    if (index <= machine.appliedIndex) continue;
    if (kind === EntryKind.normal) machine.apply(index, term, data);
    else machine.advance(index, term);
  }
}

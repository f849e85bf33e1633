/** Verifies what a member has on disk, record by record; changes nothing. */
import type { Disk } from "../runtime/types.ts";
import { loadStateMachine, pageReader, recordName, StateMachine, unseal } from "../store/mod.ts";
import { foundation } from "./data-directory.ts";
import { LogStore, readIdentity, scanAll } from "./log-store.ts";
import { applyLog } from "./salvage.ts";

/** Every prefix under which a member writes, but 'T': what is staged is checked when it is used. */
const prefixes = Array.from("ABDEHILMRS", (letter) => letter.charCodeAt(0));
const pageEntries = 500;

export interface CheckReport {
  readonly records: number;
  readonly member: string;
  readonly cluster: number;
  readonly revision: number;
  readonly compactRevision: number;
  readonly keys: number;
  readonly appliedIndex: number;
  readonly commitIndex: number;
  readonly lastIndex: number;
}

/** Rejects with a DiskError or StatusError that names the first bad record. */
export async function checkMemberDisk(disk: Disk): Promise<CheckReport> {
  let records = 0;
  for (const prefix of prefixes) {
    for await (const [key, value] of scanAll(disk, prefix, pageEntries)) {
      if (unseal(key, value) === undefined) {
        throw new Error(`record ${recordName(key)} does not match its checksum`);
      }
      records++;
    }
  }
  const identity = readIdentity(disk);
  if (!identity) throw new Error("there is no member's identity (record M)");
  const machine = new StateMachine(disk);
  await loadStateMachine(machine, disk, pageReader(disk));
  const { hardState, start, entries } = await new LogStore().load(
    disk,
    foundation({ cluster: [], initialClusterState: "existing" }),
    pageEntries,
  );
  const lastIndex = entries.at(-1)?.index ?? start.index;
  const { appliedIndex } = machine;
  if (appliedIndex < start.index || appliedIndex > lastIndex) {
    throw new Error(
      `the state is at index ${appliedIndex}, the log covers ${start.index} to ${lastIndex}`,
    );
  }
  const { revision, compactRevision, keys } = machine;
  // What the log holds beyond the state must be readable too.
  applyLog(machine, entries);
  return {
    records,
    member: identity.name ?? "",
    cluster: identity.cluster ?? 0,
    revision,
    compactRevision,
    keys,
    appliedIndex,
    commitIndex: hardState.commit,
    lastIndex,
  };
}

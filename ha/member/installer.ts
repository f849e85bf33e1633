/**
 * Puts a received snapshot in the place of log and state, so that a crash at any moment loses
 * neither.
 *
 *     chunks ─► 'T' + key (staged) ─► 'I' written: begun ─► wipe, copy, 'I' removed: in place
 *
 * Before 'I' a crash leaves the old state untouched; from 'I' on a restart finishes the work. A
 * member must not forget what it had acknowledged, so it never starts without either. 'I' is
 * written when the consensus core has asked for the snapshot, not when its last chunk has come: the
 * core may know better by then, and a member that went on without it must not be thrown back to it.
 */
import { LogStart } from "../../proto/gen/raft.ts";
import type { HardState } from "../raft/mod.ts";
import type { Disk, DiskError, DiskOperation } from "../runtime/types.ts";
import { type PageReader, seal, wipe } from "../store/mod.ts";
import { limits } from "./limits.ts";
import type { LogStore } from "./log-store.ts";
import { readSealed, scanAll } from "./log-store.ts";
import { type RosterMeta, rosterMetaFromWire, rosterMetaToWire } from "./wire.ts";

const stagedPrefix = 0x54;
const begunKey = Uint8Array.of(0x49);

export function stagedOperations(operations: readonly DiskOperation[]): DiskOperation[] {
  return operations.map(({ key, value }) => {
    const staged = new Uint8Array(key.length + 1);
    staged[0] = stagedPrefix;
    staged.set(key, 1);
    return { key: staged, ...(value && { value }) };
  });
}

function begunOperation(meta: RosterMeta): DiskOperation {
  const content = LogStart.encode({ meta: rosterMetaToWire(meta) }).finish();
  return { key: begunKey, value: seal(begunKey, content) };
}

/** The snapshot whose installation a crash interrupted. */
export function interruptedInstall(disk: Disk): RosterMeta | undefined {
  const bytes = readSealed(disk, begunKey, "the mark of a complete snapshot");
  const meta = bytes && LogStart.decode(bytes).meta;
  return meta && rosterMetaFromWire(meta);
}

/** Removes what an incomplete transfer left behind. */
export async function dropStaged(disk: Disk): Promise<void> {
  let operations: DiskOperation[] = [];
  for await (const [key] of scanAll(disk, stagedPrefix, limits.scanPageEntries)) {
    operations.push({ key });
    if (operations.length < limits.installOperationsPerWrite) continue;
    await writeAll(disk, operations, false);
    operations = [];
  }
  if (operations.length > 0) await writeAll(disk, operations, false);
}

/** Resolves when state and log are those of the snapshot, durably. Nothing else may write. */
export async function install(
  disk: Disk,
  read: PageReader,
  logStore: LogStore,
  meta: RosterMeta,
  hardState: HardState | undefined,
): Promise<void> {
  await writeAll(disk, [begunOperation(meta)], true);
  for await (const operations of wipe(read)) await writeAll(disk, operations, false);
  let operations: DiskOperation[] = [];
  for await (const [key, value] of scanAll(disk, stagedPrefix, limits.scanPageEntries)) {
    operations.push({ key: key.slice(1), value });
    if (operations.length < limits.installOperationsPerWrite) continue;
    await writeAll(disk, operations, false);
    operations = [];
  }
  operations.push(...logStore.reset(meta), ...logStore.persist([], hardState), {
    key: begunKey,
  });
  await writeAll(disk, operations, true);
  await dropStaged(disk);
}

export function writeAll(
  disk: Disk,
  operations: readonly DiskOperation[],
  sync: boolean,
): Promise<void> {
  return new Promise((resolve, reject) => {
    disk.write(operations, { sync }, (error?: DiskError) => (error ? reject(error) : resolve()));
  });
}

/**
 * Puts a received snapshot in the place of log and state, so that a crash at any moment loses
 * neither.
 *
 *     chunks ─► 'T' + key (staged) ─► 'I' written: complete ─► wipe, copy, 'I' removed: in place
 *
 * Before 'I' a crash leaves the old state untouched; from 'I' on a restart finishes the work. A
 * member must not forget what it had acknowledged, so it never starts without either.
 */
import { LogStart } from "../../proto/gen/raft.ts";
import type { HardState, SnapshotMeta } from "../raft/mod.ts";
import type { Disk, DiskError, DiskOperation } from "../runtime/types.ts";
import { type PageReader, wipe } from "../store/mod.ts";
import { limits } from "./limits.ts";
import type { LogStore } from "./log-store.ts";
import { scanAll } from "./log-store.ts";
import { snapshotMetaFromWire, snapshotMetaToWire } from "./wire.ts";

const stagedPrefix = 0x54;
const completeKey = Uint8Array.of(0x49);

export function stagedOperations(operations: readonly DiskOperation[]): DiskOperation[] {
  return operations.map(({ key, value }) => {
    const staged = new Uint8Array(key.length + 1);
    staged[0] = stagedPrefix;
    staged.set(key, 1);
    return { key: staged, ...(value && { value }) };
  });
}

export function completeOperation(meta: SnapshotMeta): DiskOperation {
  return { key: completeKey, value: LogStart.encode({ meta: snapshotMetaToWire(meta) }).finish() };
}

/** The snapshot whose installation a crash interrupted. */
export function interruptedInstall(disk: Disk): SnapshotMeta | undefined {
  const bytes = disk.get(completeKey);
  const meta = bytes && LogStart.decode(bytes).meta;
  return meta && snapshotMetaFromWire(meta);
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
  meta: SnapshotMeta,
  hardState: HardState | undefined,
): Promise<void> {
  for await (const operations of wipe(read)) await writeAll(disk, operations, false);
  let operations: DiskOperation[] = [];
  for await (const [key, value] of scanAll(disk, stagedPrefix, limits.scanPageEntries)) {
    operations.push({ key: key.slice(1), value });
    if (operations.length < limits.installOperationsPerWrite) continue;
    await writeAll(disk, operations, false);
    operations = [];
  }
  operations.push(...logStore.reset(meta), ...logStore.persist([], hardState), {
    key: completeKey,
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

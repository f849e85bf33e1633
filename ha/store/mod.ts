/**
 * The store: etcd-v3 semantics as a replicated state machine.
 *
 * A member drives it so, once a turn: `apply` each committed entry, `compactStep`,
 * `takeOperations` into one disk write, `flush` the watch hub, answer the callers.
 */
export { AlarmType } from "./alarms.ts";
export { seal, sealedByOlder, sealWritten, unseal } from "./checksum.ts";
export {
  type Command,
  decodeRangeResponse,
  decodeTxnResponse,
  encodeProposal,
  encodeRangeRequest,
  encodeRangeResponse,
  encodeTxn,
  encodeTxnResponse,
  type ProposalInput,
  type ProposedCommand,
} from "./codec.ts";
export { decodeProposal } from "./commands.ts";
export * as storeErrors from "./errors.ts";
export { recordName, StoreImage, type StorePosition } from "./image.ts";
export {
  type AlarmRecord,
  type Applied,
  type PageReader,
  repair,
  storeRanges,
} from "./layout.ts";
export { LeaseClock } from "./lease-clock.ts";
export {
  defaultStoreLimits,
  defaultWatchLimits,
  type StoreLimits,
  type WatchLimits,
} from "./limits.ts";
export { loadStateMachine, pageReader } from "./load.ts";
export { type LocalStoreOptions, openLocalStore } from "./local-store.ts";
export {
  type OpenRangeOptions,
  type RangeHost,
  RangeReads,
  type RangeRow,
  type RangeRows,
  rangeReadLimits,
} from "./range-reads.ts";
export type { HistoryDisk } from "./records.ts";
export { Snapshot, SnapshotReader, wipe } from "./snapshot.ts";
export {
  type AppliedCommand,
  type Outcome,
  type RevisionObserver,
  StateMachine,
  type StateMachineOptions,
} from "./state-machine.ts";
export * from "./types.ts";
export { checkLease, checkRange, checkRequestId, checkTxn } from "./validate.ts";
export { WatchHub, type WatchHubOptions } from "./watch-hub.ts";
export { WireReader, WireWriter } from "./wire.ts";

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
  encodeRangeResponse,
  encodeTxnResponse,
  type ProposedCommand,
} from "./codec.ts";
export { decodeProposal } from "./commands.ts";
export * as storeErrors from "./errors.ts";
export { recordName, StoreImage, type StorePosition } from "./image.ts";
export {
  type AlarmRecord,
  type PageReader,
  repair,
} from "./layout.ts";
export { LeaseClock } from "./lease-clock.ts";
export {
  defaultStoreLimits,
  defaultWatchLimits,
  type WatchLimits,
} from "./limits.ts";
export { loadStateMachine, pageReader } from "./load.ts";
export { openLocalStore } from "./local-store.ts";
export {
  type OpenRangeOptions,
  RangeReads,
  type RangeRow,
  type RangeRows,
} from "./range-reads.ts";
export { Snapshot, SnapshotReader, wipe } from "./snapshot.ts";
export {
  type AppliedCommand,
  type Outcome,
  StateMachine,
  type StateMachineOptions,
} from "./state-machine.ts";
export * from "./types.ts";
export { checkLease, checkRange, checkRequestId, checkTxn } from "./validate.ts";
export { WatchHub } from "./watch-hub.ts";
export { WireReader, WireWriter } from "./wire.ts";

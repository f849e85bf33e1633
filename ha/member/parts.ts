/** The parts of one member, as far as its turn loop, its lifecycle and its inbox share them. */
import type { Raft } from "../raft/mod.ts";
import type { StatusError } from "../runtime/status-error.ts";
import type { DiskError, MemberId, Runtime } from "../runtime/types.ts";
import type { PageReader, StateMachine, WatchHub } from "../store/mod.ts";
import type { Admission } from "./admission.ts";
import type { Calls } from "./calls.ts";
import type { CorruptionCheck } from "./corruption.ts";
import type { Leadership } from "./leadership.ts";
import type { LeaseKeeper } from "./lease-keeper.ts";
import type { MemberLimits } from "./limits.ts";
import type { LogStore } from "./log-store.ts";
import type { LogTrimmer } from "./log-trimmer.ts";
import type { Members } from "./members.ts";
import type { Outbox } from "./outbox.ts";
import type { PeerLinks } from "./peer-links.ts";
import type { Proposals } from "./proposals.ts";
import type { Proposer } from "./proposer.ts";
import type { Reads } from "./reads.ts";
import type { Snapshots } from "./snapshots.ts";
import type { Writer } from "./writer.ts";

export interface MemberParts {
  readonly id: MemberId;
  /** The member's name, for error messages. */
  readonly name: string;
  readonly runtime: Runtime;
  readonly limits: MemberLimits;
  readonly raft: Raft;
  readonly read: PageReader;
  readonly logStore: LogStore;
  readonly trimmer: LogTrimmer;
  readonly writer: Writer;
  readonly links: PeerLinks;
  readonly outbox: Outbox;
  readonly admission: Admission;
  readonly members: Members;
  readonly proposals: Proposals;
  readonly proposer: Proposer;
  readonly reads: Reads;
  readonly calls: Calls;
  readonly snapshots: Snapshots;
  readonly leadership: Leadership;
  readonly leases: LeaseKeeper;
  readonly corruption: CorruptionCheck;
  /** The present state machine: installing a snapshot replaces it. */
  machine(): StateMachine;
  /** The present watch hub: installing a snapshot replaces it. */
  hub(): WatchHub;
  /** Why the member serves no callers; undefined while it does serve them. */
  failure(): StatusError | undefined;
  /** Stops the member because its disk failed. */
  diskFailed(error: DiskError): void;
  /** Schedules a turn. */
  wake(): void;
}

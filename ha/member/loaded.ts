import type { LogIndex, Raft } from "../raft/mod.ts";
import type { StateMachine } from "../store/mod.ts";
import type { DataDirectory } from "./data-directory.ts";
import type { LogStore } from "./log-store.ts";
import type { PeerLinks } from "./peer-links.ts";
import type { Proposals } from "./proposals.ts";
import type { RosterHistory } from "./roster.ts";

/** What `openMember` has loaded from the disk, for the member to start with. */
export interface Loaded {
  readonly machine: StateMachine;
  readonly raft: Raft;
  readonly logStore: LogStore;
  readonly proposals: Proposals;
  readonly rosters: RosterHistory;
  readonly directory: DataDirectory;
  readonly links: PeerLinks;
  readonly logStart: number;
  readonly lastIndex: LogIndex;
}

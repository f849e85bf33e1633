import type { LogIndex, Raft } from "../raft/mod.ts";
import { assert } from "../runtime/assert.ts";
import type { DiskOperation } from "../runtime/types.ts";
import type { MemberLimits } from "./limits.ts";
import type { LogStore } from "./log-store.ts";
import type { Members } from "./members.ts";
import type { RosterMeta } from "./wire.ts";

export interface LogTrimmerHost {
  readonly raft: Raft;
  readonly members: Members;
  readonly logStore: LogStore;
  readonly limits: MemberLimits;
}

/** Cuts the log behind what is applied and written, when it has grown long enough. */
export class LogTrimmer {
  readonly #host: LogTrimmerHost;
  #start: number;
  /** Bytes of the entries since the last cut. */
  #bytes = 0;

  /** `start`: index of the entry before the log's first. */
  constructor(host: LogTrimmerHost, start: number) {
    this.#host = host;
    this.#start = start;
  }

  logged(entries: readonly { readonly data: Uint8Array }[]): void {
    for (const { data } of entries) this.#bytes += data.length;
  }

  /** Position and roster of a snapshot at this index; undefined: the log begins later. */
  meta(index: LogIndex): RosterMeta | undefined {
    const { raft, members } = this.#host;
    const meta = raft.snapshotAt(index);
    return meta && { ...meta, roster: members.at(index) };
  }

  /** The operations that cut the log's beginning off; undefined: the log is not long enough yet. */
  cut(writtenIndex: LogIndex): DiskOperation[] | undefined {
    const { raft, members, logStore, limits } = this.#host;
    const heavy = this.#bytes > limits.logBytesKept;
    const target = (writtenIndex -
      (heavy ? limits.logEntriesKeptMin : limits.logEntriesKept)) as LogIndex;
    const slack = heavy ? limits.logEntriesKeptMin : limits.logEntriesSlack;
    if (target - this.#start < slack) return undefined;
    const start = this.meta(target);
    assert(start, "what is applied since the log's start is in the log");
    raft.compact(target);
    members.compactTo(target);
    this.restart(target);
    return logStore.compact(start);
  }

  /** The log begins behind this index. */
  restart(index: number): void {
    this.#start = index;
    this.#bytes = 0;
  }
}

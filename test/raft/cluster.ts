/**
 * A set of consensus cores with simulated disks and a simulated network, driven from outside: the
 * scenarios move it command by command, the safety test at random.
 *
 * It is the smallest driver that keeps the contract of `Ready`, and it checks, at every step, what
 * Raft promises (Ongaro 2014, figure 3.2).
 */
import assert from "node:assert/strict";
import {
  draft,
  type Entry,
  EntryKind,
  type HardState,
  isWellFormed,
  type LogIndex,
  type Membership,
  type MembershipCodec,
  type Message,
  MessageType,
  Raft,
  type RaftConfig,
  type Ready,
  Role,
  type SnapshotMeta,
  type Term,
} from "../../ha/raft/mod.ts";
import type { MemberId, Random } from "../../ha/runtime/types.ts";

export interface Applied {
  readonly index: number;
  readonly text: string;
}

interface Disk {
  hardState: HardState;
  entries: Entry[];
  snapshot: SnapshotMeta;
  /** What the snapshot contains. */
  content: readonly Applied[];
}

interface Write {
  readonly ready: Ready;
  readonly content: readonly Applied[] | undefined;
}

export interface Envelope {
  readonly message: Message;
  /** Content that travels with a snapshot. */
  readonly content?: readonly Applied[];
}

export const defaultConfig: Omit<RaftConfig, "id"> = {
  electionTicksMin: 10,
  electionTicksMax: 19,
  heartbeatTicks: 2,
  maxEntryBytes: 1024,
  maxUncommittedBytes: 64 * 1024,
  maxAppendBytes: 4096,
  maxInflightAppends: 8,
  maxCommittedBytesPerReady: 4096,
  maxHeldBytes: 4096,
  releaseStep: 64,
};

const decoder = new TextDecoder();
const encoder = new TextEncoder();

export const text = (bytes: Uint8Array): string => decoder.decode(bytes);
export const bytes = (string: string): Uint8Array => encoder.encode(string);
export const id = (number: number): MemberId => number as MemberId;

export const codec: MembershipCodec = {
  encode: (membership) => bytes(JSON.stringify(membership)),
  decode: (data) => JSON.parse(text(data)) as Membership,
};

export function membershipOf(
  voters: readonly number[],
  more: { outgoing?: number[]; learners?: number[]; learnersNext?: number[] } = {},
): Membership {
  const { outgoing = [], learners = [], learnersNext = [] } = more;
  const membership = { voters, outgoing, learners, learnersNext } as unknown as Membership;
  assert.ok(voters.length === 0 || isWellFormed(membership));
  return membership;
}

/** What every member of the cluster agrees on, collected over the whole run. */
export class Witness {
  readonly leaders = new Map<number, MemberId>();
  readonly committed: string[] = [];
  /** By index: a term in which it was committed, or a later one. */
  readonly #committedBy: number[] = [];

  leads(member: Member): void {
    const { term, firstIndex, lastIndex } = member.raft!.status();
    const known = this.leaders.get(term);
    assert.ok(known === undefined || known === member.id, `election safety in term ${term}`);
    if (known !== undefined) return;
    this.leaders.set(term, member.id);
    // Leader completeness: what was committed in earlier terms is in the log of a new leader. One
    // whose votes were long under way may be late for what a later term's has committed.
    for (let index: number = firstIndex; index < this.committed.length; index++) {
      const committedBy = this.#committedBy[index];
      if (committedBy === undefined || committedBy >= term) continue;
      assert.ok(index <= lastIndex, `leader completeness: ${index} is missing`);
      const [entry] = member.raft!.entriesFrom(index as LogIndex, 0);
      assert.equal(signature(entry!), this.committed[index], "leader completeness");
    }
  }

  /** `term`: of the member that applies it. */
  applies(entry: Entry, term: number): void {
    const known = this.committed[entry.index];
    if (known !== undefined) {
      assert.equal(signature(entry), known, "state machine safety");
      return;
    }
    this.committed[entry.index] = signature(entry);
    this.#committedBy[entry.index] = term;
  }

  get lastApplied(): number {
    return Math.max(0, this.committed.length - 1);
  }
}

function signature(entry: Entry): string {
  return `${entry.term}:${entry.kind}:${text(entry.data)}`;
}

export interface Network {
  send(envelope: Envelope): void;
  /** For the transcript. */
  note?(line: string): void;
}

export class Member {
  readonly id: MemberId;
  readonly config: RaftConfig;
  readonly disk: Disk;
  raft: Raft | undefined;
  /** Writes wait until the test calls {@link finishWrite}. */
  slowDisk = false;
  writes: Write[] = [];
  state: Applied[] = [];
  /** Index up to which the state machine is. */
  applied = 0;
  /** How far the state machine may be after a crash: its writes follow those of the log. */
  durablyApplied = 0;
  readonly reads: { context: number; index: number }[] = [];
  readonly failedReads: number[] = [];
  readonly #random: Random;
  readonly #network: Network;
  readonly #witness: Witness;
  /** The last snapshot that arrived; its content is what Ready's `install` is about. */
  #received: Envelope | undefined;
  #last = "";

  constructor(
    config: RaftConfig,
    random: Random,
    membership: Membership,
    network: Network,
    witness: Witness,
  ) {
    this.id = config.id;
    this.config = config;
    this.#random = random;
    this.#network = network;
    this.#witness = witness;
    this.disk = {
      hardState: { term: 0 as Term, vote: undefined, commit: 0 as LogIndex },
      entries: [],
      snapshot: { index: 0 as LogIndex, term: 0 as Term, membership },
      content: [],
    };
  }

  /** Begins from what is on the disk. The applied state is as old as the snapshot, or newer. */
  start(applied = 0): void {
    const { hardState, entries, snapshot, content } = this.disk;
    const keeps = applied > snapshot.index;
    assert.ok(!keeps || applied <= this.durablyApplied, "only durable state is found again");
    this.state = keeps ? this.state.filter(({ index }) => index <= applied) : [...content];
    this.applied = keeps ? applied : snapshot.index;
    this.durablyApplied = this.applied;
    this.writes = [];
    const past = { read: this.#read.bind(this) };
    const position = { snapshot, applied: this.applied as LogIndex };
    const start = { hardState, entries: [...entries], ...position, past };
    this.raft = new Raft(this.config, this.#random, start, codec);
    this.#observe();
  }

  /** Loses everything that was not written. */
  crash(): void {
    if (this.writes.length === 0) this.durablyApplied = this.applied;
    this.raft = undefined;
    this.writes = [];
    this.#last = "";
  }

  receive(envelope: Envelope): void {
    if (envelope.content !== undefined) this.#received = envelope;
    this.raft?.step(envelope.message);
    this.#observe();
  }

  /** Does what Ready asks for, until nothing is left but slow writes. */
  process(): void {
    while (this.raft?.hasReady()) {
      const ready = this.raft.ready();
      let content: readonly Applied[] | undefined;
      if (ready.install !== undefined) {
        assert.equal(this.#received?.message.snapshot?.index, ready.install.index);
        content = this.#received?.content ?? [];
        this.state = [...content];
        this.applied = ready.install.index;
        this.raft.applied(ready.install.index);
        this.#network.note?.(`${this.id} installs the snapshot at ${ready.install.index}`);
      }
      for (const message of ready.messages) this.#network.send({ message });
      for (const message of ready.news) this.#network.send({ message });
      this.writes.push({ ready, content });
      if (!this.slowDisk) this.finishWrites();
      this.#apply(ready.committed);
      this.reads.push(...ready.reads);
      for (const { context, index } of ready.reads) {
        this.#network.note?.(`${this.id} may serve read ${context} at ${index}`);
      }
      this.failedReads.push(...ready.failedReads);
      for (const context of ready.failedReads) {
        this.#network.note?.(`${this.id} gives up read ${context}`);
      }
      for (const peer of ready.snapshotsWanted) this.#sendSnapshot(peer);
      this.#observe();
    }
  }

  finishWrites(): void {
    while (this.writes.length > 0) this.finishWrite();
  }

  finishWrite(): void {
    const write = this.writes.shift();
    if (write === undefined) return;
    const { ready, content } = write;
    const { disk } = this;
    if (ready.install !== undefined) {
      disk.snapshot = ready.install;
      disk.content = content ?? [];
      disk.entries = [];
    }
    if (ready.hardState !== undefined) disk.hardState = ready.hardState;
    const first = ready.entries[0];
    if (first !== undefined) {
      const kept = first.index - disk.snapshot.index - 1;
      assert.ok(kept <= disk.entries.length, "the log on disk has no gap");
      // What a compaction has meanwhile put into the snapshot is not written again.
      disk.entries.length = Math.max(kept, 0);
      disk.entries.push(...ready.entries.slice(Math.max(-kept, 0)));
    }
    for (const message of ready.messagesAfterPersist) this.#network.send({ message });
    this.raft?.persisted(ready);
    if (this.writes.length === 0) this.durablyApplied = this.applied;
    this.#observe();
  }

  /** Takes a snapshot of the state machine and drops the log before it. */
  compact(): void {
    const index = this.applied as LogIndex;
    const durable = this.disk.snapshot.index + this.disk.entries.length;
    const meta = this.raft?.snapshotAt(index);
    if (meta === undefined || index > durable || this.writes.length > 0) return;
    this.raft?.compact(index);
    this.disk.entries.splice(0, index - this.disk.snapshot.index);
    this.disk.snapshot = meta;
    this.disk.content = [...this.state];
  }

  get isLeader(): boolean {
    return this.raft?.status().role === Role.leader;
  }

  /** At most three entries, as of one batch. */
  #read(from: LogIndex, to: LogIndex, maxBytes: number): readonly Entry[] {
    const { entries, snapshot } = this.disk;
    const start = from - snapshot.index - 1;
    const read = entries.slice(start, Math.min(to - snapshot.index, start + 3));
    let bytes = 0;
    return read.filter(({ data }, position) => {
      bytes += data.length;
      return position === 0 || bytes <= maxBytes;
    });
  }

  #apply(committed: readonly Entry[]): void {
    for (const entry of committed) {
      assert.equal(entry.index, this.applied + 1, "entries are applied in order");
      this.#witness.applies(entry, this.raft!.status().term);
      this.applied = entry.index;
      if (entry.data.length === 0) continue;
      this.state.push({ index: entry.index, text: text(entry.data) });
      const what = entry.kind === EntryKind.normal ? `“${text(entry.data)}”` : "the membership";
      this.#network.note?.(`${this.id} applies ${entry.index} ${what}`);
    }
    if (committed.length > 0) this.raft?.applied(this.applied as LogIndex);
  }

  #sendSnapshot(peer: MemberId): void {
    const raft = this.raft!;
    const snapshot = raft.snapshotAt(this.applied as LogIndex);
    assert.ok(snapshot !== undefined, "the applied index is within the log");
    const { term } = raft.status();
    const message = { ...draft(MessageType.snapshot, this.id, peer, term), snapshot };
    this.#network.send({ message, content: [...this.state] });
  }

  #observe(): void {
    if (this.raft === undefined) return;
    const { role, term } = this.raft.status();
    if (role === Role.leader) this.#witness.leads(this);
    const now = `${roleNames[role]} in term ${term}`;
    if (now === this.#last) return;
    this.#last = now;
    this.#network.note?.(`${this.id} is ${now}`);
  }
}

/** The entries in memory, and before them those on the disk alone. */
export function wholeLog(raft: Raft): readonly Entry[] {
  const { firstIndex, lastIndex } = raft.status();
  const log: Entry[] = [];
  while (firstIndex + log.length <= lastIndex) {
    const from = (firstIndex + log.length) as LogIndex;
    log.push(...raft.entriesFrom(from, Number.POSITIVE_INFINITY));
  }
  return log;
}

export const roleNames = ["follower", "pre-candidate", "candidate", "leader", "learner"] as const;

/** Log matching: where two logs have the same term, they are the same up to there. */
export function checkLogMatching(members: Iterable<Member>): void {
  const known = new Map<string, string>();
  for (const { raft } of members) {
    if (raft === undefined) continue;
    const { firstIndex } = raft.status();
    let before: number | undefined = raft.termAt((firstIndex - 1) as LogIndex);
    for (const entry of wholeLog(raft)) {
      const position = `${entry.index}@${entry.term}`;
      const content: string = `${before}<${signature(entry)}`;
      assert.equal(known.get(position) ?? content, content, `log matching at ${position}`);
      known.set(position, content);
      before = entry.term;
    }
  }
}

/**
 * Carries out what the consensus core asks for in one `Ready`: messages are queued for the peers,
 * log entries go to the writer, committed entries to the state machine, and callers get answers.
 */
import { EntryKind, type Ready } from "../raft/mod.ts";
import type { MemberParts } from "./parts.ts";

export class ReadyHandler {
  readonly #parts: MemberParts;
  #appliedTerm: number;

  constructor(parts: MemberParts) {
    this.#parts = parts;
    this.#appliedTerm = parts.machine().appliedTerm;
  }

  /** The term of the last entry that the state machine has applied. */
  get appliedTerm(): number {
    return this.#appliedTerm;
  }

  /** An installed snapshot has replaced the state machine. */
  reset(): void {
    this.#appliedTerm = this.#parts.machine().appliedTerm;
  }

  carryOut(ready: Ready): void {
    const { reads, outbox, snapshots, machine } = this.#parts;
    for (const context of ready.failedReads) reads.failed(context);
    for (const message of ready.messages) outbox.message(message);
    for (const news of ready.news) outbox.hold(news);
    this.#persist(ready);
    this.#apply(ready);
    for (const { context, index } of ready.reads) {
      reads.confirmed(context, index, machine().appliedIndex);
    }
    snapshots.want(ready.snapshotsWanted);
  }

  #persist(ready: Ready): void {
    const { raft, logStore, members, trimmer, writer, outbox, wake } = this.#parts;
    const { entries, hardState, messagesAfterPersist } = ready;
    if (entries.length === 0 && !hardState && messagesAfterPersist.length === 0) return;
    const operations = logStore.persist(entries, hardState);
    members.logged(entries);
    trimmer.logged(entries);
    writer.log({
      operations,
      lastIndex: entries.at(-1)?.index,
      sync: operations.length > 0,
      done: () => {
        for (const message of messagesAfterPersist) outbox.message(message);
        raft.persisted(ready);
        wake();
      },
    });
  }

  #apply(ready: Ready): void {
    const { raft, proposals, reads, members } = this.#parts;
    const machine = this.#parts.machine();
    const last = ready.committed.at(-1);
    if (!last) return;
    let membershipApplied = false;
    for (const entry of ready.committed) {
      if (entry.kind === EntryKind.normal) {
        for (const command of machine.apply(entry.index, entry.term, entry.data)) {
          proposals.answer(command);
        }
      } else {
        machine.advance(entry.index, entry.term);
        membershipApplied = true;
      }
      if (entry.term > this.#appliedTerm) {
        this.#appliedTerm = entry.term;
        proposals.termApplied(entry.term);
      }
    }
    raft.applied(last.index);
    reads.applied(last.index);
    members.applied(last.index, membershipApplied);
  }
}

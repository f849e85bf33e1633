/** Making messages, and telling a possible message from an impossible one. */
import type { MemberId } from "../runtime/types.ts";
import { EntryKind, type LogIndex, type Message, MessageType, type Term } from "./types.ts";

/** A message that is still being filled in. */
export type Draft = { -readonly [Field in keyof Message]: Message[Field] };

const noEntries: Message["entries"] = [];

/** Makes every message, so that all share one object shape. */
export function draft(type: MessageType, from: MemberId, to: MemberId, term: Term): Draft {
  return {
    type,
    from,
    to,
    term,
    index: 0 as LogIndex,
    logTerm: 0 as Term,
    entries: noEntries,
    commit: 0 as LogIndex,
    reject: false,
    rejectHint: 0 as LogIndex,
    rejectTerm: 0 as Term,
    context: 0,
    snapshot: undefined,
    force: false,
  };
}

/**
 * Whether a member that follows the protocol could have sent this. What could not is dropped before
 * it touches any state: a peer may be of another version, or broken.
 */
export function isPossible(message: Message): boolean {
  const { type, term, index, logTerm, commit, context, rejectHint, rejectTerm } = message;
  if (!(isCount(type) && type >= MessageType.append && type <= MessageType.commit)) return false;
  if (!(isCount(term) && term > 0 && isCount(index) && isCount(logTerm))) return false;
  if (!(isCount(commit) && isCount(context) && isCount(rejectHint) && isCount(rejectTerm))) {
    return false;
  }
  if (type === MessageType.append) return areAppendable(message);
  if (type === MessageType.snapshot) return isPossibleSnapshot(message);
  return type === MessageType.propose || message.entries.length === 0;
}

function areAppendable(message: Message): boolean {
  let index: number = message.index;
  let term: number = message.logTerm;
  for (const entry of message.entries) {
    if (entry.index !== index + 1 || !(entry.term >= term) || entry.term > message.term)
      return false;
    if (entry.kind !== EntryKind.normal && entry.kind !== EntryKind.membership) return false;
    index = entry.index;
    term = entry.term;
  }
  return term <= message.term && Number.isSafeInteger(term) && Number.isSafeInteger(index);
}

function isPossibleSnapshot(message: Message): boolean {
  const meta = message.snapshot;
  return (
    meta !== undefined && isCount(meta.index) && isCount(meta.term) && meta.term <= message.term
  );
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

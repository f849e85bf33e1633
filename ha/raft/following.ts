/**
 * Replication as a follower sees it: appends, heartbeats and snapshots of the leader
 * (Ongaro 2014, sections 3.5 and 5).
 */
import { assert } from "../runtime/assert.ts";
import { isWellFormed } from "./membership.ts";
import { becomeFollower } from "./roles.ts";
import type { State } from "./state.ts";
import {
  type Entry,
  EntryKind,
  type LogIndex,
  type Membership,
  type Message,
  MessageType,
  Role,
} from "./types.ts";

export function handleAppend(state: State, message: Message): void {
  const memberships = decodeMemberships(state, message.entries);
  if (memberships === undefined) return;
  follow(state, message);
  const { log } = state;
  if (message.index < log.baseIndex) {
    // Everything up to the base is committed, here and at every later leader.
    acknowledge(state, message, state.commit);
  } else if (log.matches(message.index, message.logTerm)) {
    const last = (message.index + message.entries.length) as LogIndex;
    store(state, message.entries, memberships);
    commitUpTo(state, Math.min(message.commit, last));
    acknowledge(state, message, last);
  } else {
    reject(state, message);
  }
}

/** Carries no log position, only the leader's word that this member holds all up to `commit`. */
export function handleHeartbeat(state: State, message: Message): void {
  follow(state, message);
  // Beyond the log only if the disk forgot what it had promised; then appends will repair it.
  commitUpTo(state, message.commit);
  const answer = state.draft(MessageType.heartbeatResponse, message.from);
  answer.context = message.context;
  state.messages.push(answer);
}

/** News of a committed entry that this member has; a heartbeat makes up for one that is lost. */
export function handleCommit(state: State, message: Message): void {
  follow(state, message);
  if (state.log.matches(message.index, message.logTerm)) commitUpTo(state, message.index);
}

/** The content has been received: the log begins anew after it, unless it is old news. */
export function handleSnapshot(state: State, message: Message): void {
  const { snapshot } = message;
  if (snapshot === undefined || !isWellFormed(snapshot.membership)) return;
  follow(state, message);
  const { log } = state;
  if (snapshot.index <= state.commit) {
    acknowledge(state, message, state.commit);
    return;
  }
  if (log.matches(snapshot.index, snapshot.term)) {
    // The log holds all of it; nothing is thrown away.
    commitUpTo(state, snapshot.index);
    acknowledge(state, message, snapshot.index);
    return;
  }
  log.restore(snapshot);
  state.memberships.restore(snapshot.index, snapshot.membership);
  state.commitTo(snapshot.index);
  state.install = snapshot;
  acknowledge(state, message, snapshot.index);
}

/** The sender is the leader of this term: only the leader sends such a message. */
function follow(state: State, message: Message): void {
  assert(state.role !== Role.leader, "two members lead in one term");
  if (state.role !== Role.follower || state.leader !== message.from) {
    becomeFollower(state, state.term, message.from);
  }
  state.electionElapsed = 0;
  state.leaderSilence = 0;
}

/** Adds what is not there yet, and truncates only where the terms differ. */
function store(
  state: State,
  entries: readonly Entry[],
  memberships: ReadonlyMap<Entry, Membership>,
): void {
  const { log } = state;
  let position = 0;
  while (position < entries.length) {
    const { index, term } = entries[position] as Entry;
    if (index > log.lastIndex) break;
    if (!log.matches(index, term)) {
      assert(index > state.commit, "a committed entry is never truncated");
      log.truncateFrom(index);
      state.memberships.truncateFrom(index);
      break;
    }
    position++;
  }
  for (; position < entries.length; position++) {
    const entry = entries[position] as Entry;
    log.push(entry);
    if (entry.kind !== EntryKind.membership) continue;
    state.memberships.append(entry.index, memberships.get(entry) as Membership);
  }
}

const noMemberships: ReadonlyMap<Entry, Membership> = new Map();

/** Undefined when one of them cannot be read: then the message is as if it had been lost. */
function decodeMemberships(
  state: State,
  entries: readonly Entry[],
): ReadonlyMap<Entry, Membership> | undefined {
  let memberships = noMemberships as Map<Entry, Membership>;
  for (const entry of entries) {
    if (entry.kind !== EntryKind.membership) continue;
    if (memberships === noMemberships) memberships = new Map();
    try {
      const membership = state.codec.decode(entry.data);
      if (!isWellFormed(membership)) return undefined;
      memberships.set(entry, membership);
    } catch {
      // Stopping here is safe, and following a membership that cannot be read is not.
      return undefined;
    }
  }
  return memberships;
}

function commitUpTo(state: State, index: number): void {
  if (index <= state.log.lastIndex) state.commitTo(index as LogIndex);
}

/** Leaves when everything before it is durable. One acknowledgement stands for all of a turn. */
function acknowledge(state: State, message: Message, index: LogIndex): void {
  const previous = state.messagesAfterPersist.at(-1);
  if (
    previous !== undefined &&
    previous.type === MessageType.appendResponse &&
    previous.to === message.from &&
    previous.term === state.term
  ) {
    if (index > previous.index) previous.index = index;
    return;
  }
  const answer = state.draft(MessageType.appendResponse, message.from);
  answer.index = index;
  state.messagesAfterPersist.push(answer);
}

/** Points to the last place where the logs may still agree: a whole term is skipped at once. */
function reject(state: State, message: Message): void {
  const { log } = state;
  const hint = log.lastIndexOfTerm(message.index, message.logTerm);
  const answer = state.draft(MessageType.appendResponse, message.from);
  answer.reject = true;
  answer.index = message.index;
  answer.rejectHint = hint;
  answer.rejectTerm = log.termAt(hint) ?? log.lastTerm;
  state.messages.push(answer);
}

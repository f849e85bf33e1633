/** How a message finds its handler: terms first (Ongaro 2014, section 3.3), then its type. */
import { propose } from "./changes.ts";
import * as elections from "./elections.ts";
import * as following from "./following.ts";
import { isPossible } from "./message.ts";
import * as replication from "./replication.ts";
import { becomeFollower } from "./roles.ts";
import type { State } from "./state.ts";
import { EntryKind, type Message, MessageType } from "./types.ts";

/** Leaders' handlers look up the sender's progress, which only a leader has. */
const handlers: Readonly<Record<MessageType, (state: State, message: Message) => void>> = {
  [MessageType.append]: following.handleAppend,
  [MessageType.appendResponse]: replication.handleAppendResponse,
  [MessageType.heartbeat]: following.handleHeartbeat,
  [MessageType.heartbeatResponse]: replication.handleHeartbeatResponse,
  [MessageType.preVote]: elections.handlePreVote,
  [MessageType.preVoteResponse]: elections.handlePreVoteResponse,
  [MessageType.vote]: elections.handleVote,
  [MessageType.voteResponse]: elections.handleVoteResponse,
  [MessageType.snapshot]: following.handleSnapshot,
  [MessageType.propose]: handleForwarded,
  [MessageType.readIndex]: replication.handleReadIndex,
  [MessageType.readIndexResponse]: replication.handleReadIndexResponse,
  [MessageType.timeoutNow]: elections.handleTimeoutNow,
  [MessageType.commit]: following.handleCommit,
};

/** Ignores what is stale, misplaced or impossible. */
export function handle(state: State, message: Message): void {
  if (message.to !== state.id || message.from === state.id || !isPossible(message)) return;
  if (message.term > state.term && !heedHigherTerm(state, message)) return;
  if (message.term < state.term && !heedLowerTerm(state, message)) return;
  handlers[message.type](state, message);
}

/** True when the message is still to be handled; this member is then in its term. */
function heedHigherTerm(state: State, message: Message): boolean {
  const { type } = message;
  if (type === MessageType.preVote) return true;
  if (type === MessageType.preVoteResponse && !message.reject) return true;
  // Loyalty: a member that hears its leader takes no part in deposing it (section 4.2.3).
  if (type === MessageType.vote && !message.force && state.isLoyal) return false;
  becomeFollower(state, message.term, isFromLeader(type) ? message.from : undefined);
  return true;
}

/** Tells outdated leaders and candidates the present term: they could not catch up otherwise. */
function heedLowerTerm(state: State, message: Message): boolean {
  const { type } = message;
  if (type === MessageType.preVote || type === MessageType.vote) {
    elections.refuseOutdated(state, message);
  } else if (isFromLeader(type)) {
    const answer = state.draft(MessageType.appendResponse, message.from);
    answer.reject = true;
    state.messages.push(answer);
  }
  // A read is as good from an earlier term. A proposal is not: what was proposed in a term is taken
  // up in that term or never, so a driver that has seen a later term knows that it may ask again.
  return type === MessageType.readIndex;
}

/** Dropped unless this member leads and has room: the sender repeats under its own ids. */
function handleForwarded(state: State, message: Message): void {
  const peer = state.progress.get(message.from);
  if (peer === undefined) return;
  if (message.entries.some((entry) => entry.kind !== EntryKind.normal)) return;
  const refusal = propose(
    state,
    message.entries.map((entry) => entry.data),
  );
  if (refusal === undefined) peer.awaits = state.log.lastIndex;
}

function isFromLeader(type: MessageType): boolean {
  return (
    type === MessageType.append ||
    type === MessageType.heartbeat ||
    type === MessageType.snapshot ||
    type === MessageType.commit
  );
}

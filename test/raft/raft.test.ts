/** What the driver may rely on, one guarantee at a time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  draft,
  type Entry,
  EntryKind,
  type LogIndex,
  type Message,
  MessageType,
  Raft,
  type RaftConfig,
  type RaftStart,
  Role,
  type Term,
} from "../../ha/raft/mod.ts";
import type { Random } from "../../ha/runtime/types.ts";
import { bytes, codec, defaultConfig, id, membershipOf } from "./cluster.ts";

const random: Random = { below: () => 0, bytes: (length) => new Uint8Array(length) };

function entry(index: number, term: number, text = "x"): Entry {
  const data = bytes(text);
  return { index: index as LogIndex, term: term as Term, kind: EntryKind.normal, data };
}

interface Options {
  readonly config?: Partial<RaftConfig>;
  readonly voters?: readonly number[];
  readonly term?: number;
  readonly entries?: readonly Entry[];
  readonly commit?: number;
  readonly applied?: number;
}

function raftOf(options: Options = {}): Raft {
  const { voters = [1, 2, 3], term = 0, entries = [], commit = 0, applied = 0 } = options;
  const membership = membershipOf(voters);
  const start: RaftStart = {
    hardState: { term: term as Term, vote: undefined, commit: commit as LogIndex },
    entries,
    snapshot: { index: 0 as LogIndex, term: 0 as Term, membership },
    applied: applied as LogIndex,
    past: { read: (from, to) => entries.filter(({ index }) => index >= from && index <= to) },
  };
  return new Raft({ ...defaultConfig, id: id(1), ...options.config }, random, start, codec);
}

/** Takes everything, and answers as a quick disk would. */
function drain(raft: Raft): Message[] {
  const messages: Message[] = [];
  while (raft.hasReady()) {
    const ready = raft.ready();
    messages.push(...ready.messages, ...ready.messagesAfterPersist);
    raft.persisted(ready);
    const last = ready.committed.at(-1);
    if (last !== undefined) raft.applied(last.index);
  }
  return messages;
}

function message(type: MessageType, from: number, term: number, more: object = {}): Message {
  return { ...draft(type, id(from), id(1), term as Term), ...more };
}

/** Member 1 leads in a term after `term`, and member 2 has acknowledged its first entry or not. */
function leaderOf(options: Options = {}): Raft {
  const raft = raftOf(options);
  raft.campaign();
  drain(raft);
  const term = raft.status().term + 1;
  raft.step(message(MessageType.preVoteResponse, 2, term));
  drain(raft);
  raft.step(message(MessageType.voteResponse, 2, term));
  assert.equal(raft.status().role, Role.leader);
  return raft;
}

test("an entry of an earlier term is not committed by counting (Raft, figure 8)", () => {
  const raft = leaderOf({ term: 2, entries: [entry(1, 1), entry(2, 2)] });
  drain(raft);
  const { term } = raft.status();
  raft.step(message(MessageType.appendResponse, 2, term, { index: 2 }));
  assert.equal(raft.status().commit, 0);
  raft.step(message(MessageType.appendResponse, 2, term, { index: 3 }));
  assert.equal(raft.status().commit, 3);
});

test("a leader counts itself only when its write is done, and writes end in order", () => {
  const raft = raftOf({ voters: [1] });
  raft.campaign();
  drain(raft);
  raft.propose([bytes("a")]);
  const first = raft.ready();
  raft.propose([bytes("b")]);
  const second = raft.ready();
  assert.equal(first.committed.length + second.committed.length, 0);
  assert.throws(() => raft.persisted(second), /in the order/);
  const again = raftOf({ voters: [1] });
  again.campaign();
  drain(again);
  const before = again.status().commit;
  again.propose([bytes("a")]);
  const one = again.ready();
  again.propose([bytes("b")]);
  const two = again.ready();
  again.persisted(one);
  assert.equal(again.status().commit, before + 1);
  again.persisted(two);
  assert.equal(again.status().commit, before + 2);
});

test("a commit that alone has advanced asks for no write", () => {
  const raft = leaderOf();
  drain(raft);
  raft.step(message(MessageType.appendResponse, 2, 1, { index: 1 }));
  const ready = raft.ready();
  assert.equal(ready.committed.length, 1);
  assert.equal(ready.hardState, undefined);
  raft.propose([bytes("a")]);
  assert.equal(raft.ready().hardState?.commit, 1);
});

test("after a restart, what was committed and not applied is handed out again", () => {
  const entries = [entry(1, 1), entry(2, 1), entry(3, 1)];
  const raft = raftOf({ term: 1, entries, commit: 2, applied: 1 });
  assert.equal(raft.hasReady(), true);
  assert.deepEqual(raft.ready().committed, [entries[1]]);
  assert.equal(raft.hasReady(), false);
});

test("a disk that contradicts itself is refused", () => {
  assert.throws(() => raftOf({ term: 1, commit: 1 }), /in the log/);
  assert.throws(() => raftOf({ term: 1, entries: [entry(1, 2)] }), /durable term/);
  assert.throws(() => raftOf({ term: 1, entries: [entry(2, 1)] }), /contiguous/);
  assert.throws(() => raftOf({ config: { heartbeatTicks: 10 } }), /electionTicksMin/);
});

test("entries handed out to be applied keep to their limit", () => {
  const entries = [1, 2, 3, 4, 5].map((index) => entry(index, 1, "12345"));
  const config = { maxCommittedBytesPerReady: 10 };
  const raft = raftOf({ term: 1, entries, commit: 5, config });
  const counts: number[] = [];
  while (raft.hasReady()) counts.push(raft.ready().committed.length);
  assert.deepEqual(counts, [2, 2, 1]);
});

test("all that is proposed in one turn leaves in one append per peer, with shared entries", () => {
  const raft = leaderOf();
  drain(raft);
  for (const peer of [2, 3]) {
    raft.step(message(MessageType.appendResponse, peer, 1, { index: 1 }));
  }
  drain(raft);
  for (const text of ["a", "b", "c"]) raft.propose([bytes(text)]);
  const ready = raft.ready();
  assert.deepEqual(
    ready.messages.map(({ to, entries }) => [to, entries.length]),
    [
      [2, 3],
      [3, 3],
    ],
  );
  assert.equal(ready.messages[0]!.entries, ready.messages[1]!.entries);
  assert.equal(ready.messages[0]!.entries, ready.entries);
});

test("a lost link makes neither the leader nor a stranger start anything", () => {
  const raft = leaderOf();
  drain(raft);
  raft.linkLost(id(2));
  assert.equal(raft.status().role, Role.leader);
  const follower = raftOf({ term: 1 });
  follower.step(message(MessageType.heartbeat, 2, 1));
  drain(follower);
  follower.linkLost(id(3));
  assert.deepEqual(drain(follower), []);
  follower.linkLost(id(2));
  assert.equal(drain(follower).filter(({ type }) => type === MessageType.preVote).length, 2);
});

test("a heartbeat cannot commit what the log does not hold", () => {
  const raft = raftOf({ term: 1, entries: [entry(1, 1)] });
  raft.step(message(MessageType.heartbeat, 2, 1, { commit: 7 }));
  assert.equal(raft.status().commit, 0);
});

test("membership proposals are refused for a reason", () => {
  const membership = membershipOf([1, 2]);
  const proposal = { membership, data: codec.encode(membership) };
  assert.equal(raftOf().proposeMembership(proposal), "no-leader");
  const raft = leaderOf();
  drain(raft);
  assert.equal(raft.proposeMembership(proposal), "change-in-progress");
  raft.step(message(MessageType.appendResponse, 2, 1, { index: 1 }));
  const other = codec.encode(membershipOf([1, 3]));
  assert.equal(raft.proposeMembership({ membership, data: other }), "invalid");
  assert.equal(raft.proposeMembership({ membership, data: bytes("{") }), "invalid");
  const nobody = { ...membership, voters: [] };
  assert.equal(
    raft.proposeMembership({ membership: nobody, data: codec.encode(nobody) }),
    "invalid",
  );
  const data = new Uint8Array(defaultConfig.maxEntryBytes + 1);
  assert.equal(raft.proposeMembership({ membership, data }), "too-large");
  assert.equal(raft.proposeMembership(proposal), undefined);
});

test("too many pending reads fail at once rather than queue", () => {
  const raft = raftOf();
  for (let context = 0; context < 70_000; context++) raft.readIndex(context);
  assert.equal(raft.ready().failedReads.length, 70_000 - 65_536);
});

test("what only a leader may say is ignored from an earlier term, and answered", () => {
  const raft = raftOf({ term: 5 });
  raft.step(message(MessageType.heartbeat, 2, 3));
  const [answer] = drain(raft);
  assert.deepEqual(
    [answer?.type, answer?.term, answer?.reject],
    [MessageType.appendResponse, 5, true],
  );
  assert.equal(raft.status().leader, undefined);
});

/** Fields as a broken or malicious peer may fill them; only a second leader is not imitated. */
const fromLeader: readonly number[] = [
  MessageType.append,
  MessageType.heartbeat,
  MessageType.snapshot,
  MessageType.commit,
];
const hostile = fc.record({
  type: fc.oneof(
    fc.constantFrom(
      MessageType.appendResponse,
      MessageType.heartbeatResponse,
      MessageType.preVote,
      MessageType.preVoteResponse,
      MessageType.vote,
      MessageType.voteResponse,
      MessageType.propose,
      MessageType.readIndex,
      MessageType.readIndexResponse,
      MessageType.timeoutNow,
    ),
    // Without what only a leader of the term sends: two of those are impossible, and end a member.
    fc.integer({ min: -1, max: 20 }).filter((type) => !fromLeader.includes(type)),
  ),
  from: fc.integer({ min: 0, max: 5 }),
  to: fc.constantFrom(1, 1, 1, 2),
  term: fc.oneof(fc.integer({ min: -1, max: 6 }), fc.constant(Number.NaN)),
  index: fc.oneof(fc.integer({ min: -2, max: 12 }), fc.constant(0.5)),
  logTerm: fc.nat(6),
  entries: fc.constantFrom([], [entry(0, 0)], [{ ...entry(3, 1), kind: 7 }]),
  commit: fc.integer({ min: -1, max: 12 }),
  reject: fc.boolean(),
  rejectHint: fc.integer({ min: -1, max: 12 }),
  rejectTerm: fc.nat(6),
  context: fc.oneof(fc.nat(3), fc.constant(Number.POSITIVE_INFINITY)),
  snapshot: fc.constant(undefined),
  force: fc.boolean(),
});

test("no message of a broken peer throws, nor moves the term or the commit index back", () => {
  fc.assert(
    fc.property(fc.array(hostile, { maxLength: 40 }), fc.boolean(), (messages, leads) => {
      const raft = leads ? leaderOf() : raftOf({ term: 1 });
      for (const each of messages) {
        const before = raft.status();
        raft.step(each as unknown as Message);
        raft.tick();
        drain(raft);
        assert.ok(raft.status().term >= before.term);
        assert.ok(raft.status().commit >= before.commit);
      }
    }),
  );
});

test("impossible appends and snapshots change nothing", () => {
  const raft = raftOf({ term: 1, entries: [entry(1, 1)] });
  const bad = [
    { index: 1, logTerm: 1, entries: [entry(3, 1)] },
    { index: 1, logTerm: 1, entries: [entry(2, 1), entry(2, 1)] },
    { index: 1, logTerm: 1, entries: [entry(2, 9)] },
    { index: 1, logTerm: 1, entries: [{ ...entry(2, 1), kind: 5 }] },
    { index: 1, logTerm: 1, entries: [{ ...entry(2, 1), kind: EntryKind.membership }] },
    { index: -1, logTerm: 1, entries: [] },
  ];
  for (const fields of bad) raft.step(message(MessageType.append, 2, 1, fields));
  const nobody = membershipOf([]);
  const snapshot = { index: 9, term: 1, membership: nobody };
  raft.step(message(MessageType.snapshot, 2, 1, { snapshot }));
  raft.step(message(MessageType.snapshot, 2, 1));
  assert.equal(raft.status().lastIndex, 1);
  assert.deepEqual(drain(raft), []);
});

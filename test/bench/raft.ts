/** The consensus core alone: three members in one thread, no disk, no network. */
import { type LogIndex, type MembershipCodec, Raft, type Term } from "../../ha/raft/mod.ts";
import type { MemberId, Random } from "../../ha/runtime/types.ts";

const codec: MembershipCodec = {
  encode: (membership) => new TextEncoder().encode(JSON.stringify(membership)),
  decode: (data) => JSON.parse(new TextDecoder().decode(data)),
};

/** CPU microseconds per committed entry over all three members, for several batch sizes. */
export async function run(): Promise<void> {
  for (const batch of [1, 16, 64, 512]) console.log(measure(batch, 200_000));
}

function measure(batch: number, entries: number): string {
  const ids = [1, 2, 3] as MemberId[];
  let state = 1;
  const random: Random = {
    below: (limit) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state % limit;
    },
    bytes: (length) => new Uint8Array(length),
  };
  const membership = { voters: ids, outgoing: [], learners: [], learnersNext: [] };
  const members = ids.map(
    (id) =>
      new Raft(
        {
          id,
          electionTicksMin: 10,
          electionTicksMax: 20,
          heartbeatTicks: 2,
          maxEntryBytes: 1 << 20,
          maxUncommittedBytes: 1 << 26,
          maxAppendBytes: 1 << 20,
          maxInflightAppends: 64,
          maxCommittedBytesPerReady: 1 << 23,
          maxHeldBytes: 1 << 23,
          releaseStep: 64,
        },
        random,
        {
          hardState: { term: 0 as Term, vote: undefined, commit: 0 as LogIndex },
          entries: [],
          snapshot: { index: 0 as LogIndex, term: 0 as Term, membership },
          applied: 0 as LogIndex,
          past: { read: () => [] },
        },
        codec,
      ),
  );
  let committed = 0;
  const settle = () => {
    for (let busy = true; busy; ) {
      busy = false;
      for (const raft of members) {
        if (!raft.hasReady()) continue;
        busy = true;
        const ready = raft.ready();
        for (const message of ready.messages) members[message.to - 1]?.step(message);
        for (const message of ready.news) members[message.to - 1]?.step(message);
        for (const message of ready.messagesAfterPersist) members[message.to - 1]?.step(message);
        raft.persisted(ready);
        const last = ready.committed.at(-1);
        if (!last) continue;
        raft.applied(last.index);
        if (raft === members[0]) committed = last.index;
        if (last.index % 10_000 < ready.committed.length) raft.compact(last.index);
      }
    }
  };
  members[0]?.campaign();
  settle();
  const data = Array.from({ length: batch }, () => new Uint8Array(256));
  const before = process.cpuUsage();
  const from = committed;
  while (committed - from < entries) {
    members[0]?.propose(data);
    settle();
  }
  const { user, system } = process.cpuUsage(before);
  const micros = (user + system) / (committed - from);
  return `raft: ${String(batch).padStart(3)} entries a turn: ${micros.toFixed(2)} µs an entry, three members`;
}

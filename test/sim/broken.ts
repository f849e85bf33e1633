/**
 * Builds that are broken on purpose, each in one way that a real bug might take: by wrapping the
 * product's classes from outside, for good, in the thread that runs it. A simulator that does not
 * catch them could not catch the real bug either.
 */
import { clusterIdOf } from "../../ha/member/cluster-id.ts";
import { writeDirectory } from "../../ha/member/data-directory.ts";
import { Founding } from "../../ha/member/founding.ts";
import { LogStore } from "../../ha/member/log-store.ts";
import { Member } from "../../ha/member/member.ts";
import { Log } from "../../ha/raft/log.ts";
import { draft } from "../../ha/raft/message.ts";
import { Raft } from "../../ha/raft/raft.ts";
import { State } from "../../ha/raft/state.ts";
import { type LogIndex, MessageType, Role, type Term } from "../../ha/raft/types.ts";
import { DiskContent, SimulatedDisk } from "../../ha/runtime/simulated/simulated-disk.ts";
import { keyText } from "../../ha/runtime/simulated/sorted-bytes.ts";
import type { MemberId } from "../../ha/runtime/types.ts";
import { seal } from "../../ha/store/checksum.ts";
import { History } from "../../ha/store/history.ts";
import { LeaseClock } from "../../ha/store/lease-clock.ts";
import { Leases } from "../../ha/store/leases.ts";
import { Sessions } from "../../ha/store/sessions.ts";
import { StateMachine } from "../../ha/store/state-machine.ts";
import type { Revision } from "../../ha/store/types.ts";
import { WatchHub } from "../../ha/store/watch-hub.ts";
import { runInParallel } from "./pool.ts";
import type { RunOptions } from "./run.ts";

export interface BrokenBuild {
  readonly name: string;
  /** Wraps what it breaks. */
  readonly apply: () => void;
  /** What it breaks: the guarantee, or an assertion of the product that stands before it. */
  readonly by: RegExp;
  /** What makes it show early. */
  readonly run: Omit<RunOptions, "seed">;
}

export interface Caught {
  readonly seed: number;
  /** Runs it took. */
  readonly seeds: number;
  /** The guarantee that was seen broken. */
  readonly by: string;
}

/** A broken build must be caught within so many seeds. */
export const seedsMax = 200;

/** The state of every member's latest consensus core: nothing of it can be reached from outside. */
const states = new Map<MemberId, State>();

function rememberStates(): void {
  const { drawTimeout } = State.prototype;
  State.prototype.drawTimeout = function remembering() {
    states.set(this.id, this);
    return drawTimeout.call(this);
  };
}

export const brokenBuilds: readonly BrokenBuild[] = [
  {
    name: "acknowledge before fsync",
    by: /log matching|lost write|reads true|strictly|never truncated|committed or applied/,
    run: { faults: ["crashAll", "crash", "usurper"], millis: 5_000, members: 3 },
    apply() {
      const { write } = SimulatedDisk.prototype;
      SimulatedDisk.prototype.write = function unsynced(operations, _options, done) {
        write.call(this, operations, { sync: false }, done);
      };
    },
  },
  {
    name: "vote twice in a term",
    by: /one leader per term|two members lead/,
    run: { faults: ["crashLeader", "partition", "usurper", "badLinks"], millis: 6_000, members: 5 },
    apply() {
      rememberStates();
      const { step } = Raft.prototype;
      Raft.prototype.step = function generous(message) {
        const state = states.get(message.to);
        const same = state?.term === message.term && state.role !== Role.leader;
        if (state && message.type === MessageType.preVote) state.leader = undefined;
        if (state && message.type === MessageType.vote && same) {
          state.vote = undefined;
          state.leaderOfTerm = undefined;
        }
        step.call(this, message);
      };
    },
  },
  {
    name: "skip the pre-vote check",
    by: /leader stability/,
    run: { faults: ["outsider"], millis: 14_000, members: 5 },
    apply() {
      rememberStates();
      const { ready } = Raft.prototype;
      // A member that should first ask in a pre-vote stands for election at once.
      Raft.prototype.ready = function bold() {
        const state = states.get(this.status().id);
        if (state?.role === Role.preCandidate) {
          state.messages = state.messages.filter(({ type }) => type !== MessageType.preVote);
          for (const voter of state.membership.voters) {
            const granted = draft(MessageType.preVoteResponse, voter, state.id, state.term);
            granted.term = (state.term + 1) as Term;
            this.step(granted);
          }
        }
        return ready.call(this);
      };
    },
  },
  {
    name: "serve reads without a quorum",
    by: /strictly serializable|reads never go back|linearizable/,
    run: { faults: ["partition", "pause", "badLinks"], millis: 4_000, members: 3 },
    apply() {
      Member.prototype.read = function hasty(done) {
        this.runtime.clock.soon(() => done(undefined));
      };
    },
  },
  {
    name: "apply twice after a restart",
    by: /state equality|exactly once|compare and swap/,
    run: { faults: ["crash", "restart"], millis: 3_000, members: 3 },
    apply() {
      const { restore } = StateMachine.prototype;
      StateMachine.prototype.restore = function forgetful(applied) {
        const index = Math.max(0, applied.index - 1);
        restore.call(this, { ...applied, index });
      };
    },
  },
  {
    name: "forget the vote in a restart",
    by: /one leader per term|two members lead/,
    run: { faults: ["usurper"], millis: 8_000, members: 3 },
    apply() {
      const { load } = LogStore.prototype;
      LogStore.prototype.load = async function forgetful(...parameters) {
        const loaded = await load.apply(this, parameters);
        return { ...loaded, hardState: { ...loaded.hardState, vote: undefined } };
      };
    },
  },
  {
    name: "commit entries of earlier terms by counting",
    by: /log matching|lost write|never truncated/,
    run: {
      faults: ["shortReigns"],
      millis: 12_000,
      members: 3,
      limits: { appendBytesMax: 1, inflightAppendsMax: 1 },
      network: { latency: [4_000, 6_000] },
    },
    apply() {
      rememberStates();
      const { ready } = Raft.prototype;
      Raft.prototype.ready = function counting() {
        const state = states.get(this.status().id);
        if (state?.role === Role.leader) {
          state.commitTo(state.quorumOf((peer) => peer.match) as LogIndex);
          state.attention = true;
        }
        return ready.call(this);
      };
    },
  },
  {
    name: "drop the session table in a restart",
    by: /state equality|exactly once/,
    run: { faults: ["restart", "crash"], millis: 3_000, members: 3 },
    apply() {
      Sessions.prototype.restore = () => true;
    },
  },
  {
    name: "watch resumes one revision late",
    by: /watch (resumable|reliable|bookmarkable)/,
    run: { faults: ["restart", "cut"], millis: 2_000, members: 3 },
    apply() {
      const { watch } = WatchHub.prototype;
      WatchHub.prototype.watch = function late(request) {
        const { startRevision } = request;
        if (!startRevision) return watch.call(this, request);
        return watch.call(this, { ...request, startRevision: (startRevision + 1) as Revision });
      };
    },
  },
  {
    name: "keep an entry that conflicts with the leader's",
    by: /log matching|state equality/,
    run: { faults: ["usurper", "partition", "crashLeader"], millis: 6_000, members: 3 },
    apply() {
      Log.prototype.matches = function trusting(index) {
        return this.termAt(index) !== undefined;
      };
    },
  },
  {
    name: "truncate without a conflict",
    // What it has acknowledged it is not sent again: it may also be stuck for ever.
    by: /log matching|lost write|state equality|progress: waited/,
    run: {
      faults: ["detour"],
      millis: 8_000,
      members: 3,
      limits: { appendBytesMax: 1 },
      network: { lateArrival: 0.9 },
    },
    apply() {
      rememberStates();
      const { step } = Raft.prototype;
      // What follows the leader's position goes, unless it is known to be committed.
      Raft.prototype.step = function thorough(message) {
        const state = states.get(message.to);
        const current = state && message.term === state.term && state.role !== Role.leader;
        if (current && message.type === MessageType.append) {
          const { log } = state;
          const from = Math.max(message.index, state.commit, log.baseIndex) + 1;
          if (log.matches(message.index, message.logTerm) && from <= log.lastIndex) {
            log.truncateFrom(from as LogIndex);
            state.memberships.truncateFrom(from as LogIndex);
          }
        }
        step.call(this, message);
      };
    },
  },
  {
    name: "give out what a checksum refuses",
    by: /past true|state equality|watch \w+:|log matching|reads true|strictly|exactly once|lease/,
    run: { faults: ["silentFlip", "restart", "crash"], millis: 5_000, members: 3 },
    apply() {
      const { flipBit } = DiskContent.prototype;
      // A checksum that fits: the same as if no reader checked it.
      DiskContent.prototype.flipBit = function unseen(options) {
        const key = flipBit.call(this, options);
        const value = key && this.entries.get(keyText(key));
        if (value) this.entries.set(keyText(key), seal(key, value.subarray(0, -4)));
        return key;
      };
    },
  },
  {
    name: "found again with an empty disk",
    by: /lost write|log matching|one leader per term|past true|strictly|two members lead|never truncated|reads|state equality/,
    run: { faults: ["emptyDisk", "crash"], millis: 6_000, members: 3 },
    apply() {
      const { run } = Founding.prototype;
      // A founder without data does not ask: what its flags say is the cluster.
      Founding.prototype.run = async function careless() {
        const { runtime, options } = this;
        if (options.initialClusterState === "existing") return await run.call(this);
        const cluster = clusterIdOf(options.cluster.map(({ identity }) => identity));
        const founded = { cluster, incarnation: 0, coordinator: 0, foundation: undefined };
        await writeDirectory(runtime.disk, options, founded);
        return founded;
      };
    },
  },
  {
    name: "apply wrongly on one member",
    by: /corruption alarm/,
    run: { faults: ["restart"], millis: 6_000, members: 3, blind: true },
    apply() {
      const wrong = 2;
      let applying: number | undefined;
      const { apply } = StateMachine.prototype;
      StateMachine.prototype.apply = function telling(...parameters) {
        const { self } = this as unknown as { self: { readonly member: number } | undefined };
        applying = self?.member;
        return apply.apply(this, parameters);
      };
      const { put } = History.prototype;
      History.prototype.put = function forgetful(entry, value, lease, revision) {
        const given = applying === wrong && revision % 16 === 0 ? `${value}?` : value;
        return put.call(this, entry, given, lease, revision);
      };
    },
  },
  {
    name: "leases are not extended on failover",
    by: /lease duration/,
    run: { faults: ["crashLeader", "partition"], millis: 5_000, members: 3 },
    apply() {
      const granted = new Map<bigint, number>();
      const { grant } = Leases.prototype;
      let now = 0;
      const { expired, promote } = LeaseClock.prototype;
      Leases.prototype.grant = function noting(id, seconds) {
        grant.call(this, id, seconds);
        granted.set(id, now);
      };
      LeaseClock.prototype.expired = function telling(time, limit) {
        now = time;
        return expired.call(this, time, limit);
      };
      // As if no client had kept a lease alive since it was granted.
      LeaseClock.prototype.promote = function stingy(time) {
        now = time;
        promote.call(this, time);
        const clock = this as unknown as {
          deadlines: Map<bigint, number>;
          heap: { readonly id: bigint; readonly at: number }[];
        };
        for (const [id, deadline] of clock.deadlines) {
          clock.deadlines.set(id, deadline - Math.max(0, time - (granted.get(id) ?? time)));
        }
        clock.heap = [...clock.deadlines].map(([id, at]) => ({ id, at }));
        clock.heap.sort((a, b) => a.at - b.at);
      };
    },
  },
];

/** Breaks the product in this thread, for good. */
export function breakBuild(name: string): void {
  const build = brokenBuilds.find((known) => known.name === name);
  if (!build) throw new RangeError(`no broken build is called "${name}"`);
  build.apply();
}

/** Runs one build until a seed shows what is wrong with it. */
export async function hunt(build: BrokenBuild, seeds = seedsMax): Promise<Caught | undefined> {
  const jobs = Array.from({ length: seeds }, (_, i): RunOptions => ({ ...build.run, seed: i + 1 }));
  let caught: Caught | undefined;
  let tried = 0;
  await runInParallel(
    jobs,
    ({ seed }, outcome) => {
      tried++;
      if (outcome.kind === "passed") return true;
      const by = outcome.story.split("\n")[0] ?? "";
      caught = { seed: Number(seed), seeds: tried, by: by.slice(0, 160) };
      return false;
    },
    { broken: build.name },
  );
  return caught;
}

/** One build after the other, each on all threads. */
export async function huntAll(
  builds: readonly BrokenBuild[],
  tell: (build: BrokenBuild, caught: Caught | undefined) => void,
): Promise<void> {
  for (const build of builds) tell(build, await hunt(build));
}

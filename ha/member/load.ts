/** From what the disk holds to a member that can start. */
import { type LogIndex, type Membership, Raft, type RaftStart } from "../raft/mod.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import { type Disk, DiskError, type MemberId, type Runtime } from "../runtime/types.ts";
import { loadStateMachine, pageReader, StateMachine } from "../store/mod.ts";
import { type ClusterId, clusterIdOf, clusterIdText } from "./cluster-id.ts";
import { dropStaged, install, interruptedInstall, writeAll } from "./installer.ts";
import { limitsWith } from "./limits.ts";
import { identityOperation, LogStore, readIdentity } from "./log-store.ts";
import { Member } from "./member.ts";
import { Proposals } from "./proposals.ts";
import type { MemberOptions } from "./types.ts";
import { decodeMembershipChange, encodeMembershipChange } from "./wire.ts";

export interface Loaded {
  readonly machine: StateMachine;
  readonly raft: Raft;
  readonly logStore: LogStore;
  readonly proposals: Proposals;
  readonly clusterId: ClusterId;
  readonly logStart: number;
  readonly lastIndex: LogIndex;
}

/**
 * Loads and starts a member on a runtime; the caller closes both, the member first. Rejects with a
 * StatusError or DiskError that names what is wrong with options or data.
 */
export async function openMember(runtime: Runtime, options: MemberOptions): Promise<Member> {
  checkOptions(options);
  const member = new Member(runtime, options, await load(runtime, options));
  await member.start();
  return member;
}

async function load(runtime: Runtime, options: MemberOptions): Promise<Loaded> {
  const limits = limitsWith(options.limits);
  const { disk, random, log } = runtime;
  const clusterId = clusterIdOf(options.cluster);
  await claimDirectory(disk, options, clusterId);
  const logStore = new LogStore();
  const initial = foundingMembership(options);
  const interrupted = interruptedInstall(disk);
  if (interrupted) {
    log.warn("finishing the installation of a snapshot", { index: interrupted.index });
    const { hardState } = await logStore.load(disk, initial, limits.scanPageEntries);
    const commit = Math.max(hardState.commit, interrupted.index) as LogIndex;
    const term = hardState.term > interrupted.term ? hardState.term : interrupted.term;
    const vote = term === hardState.term ? hardState.vote : undefined;
    await install(disk, pageReader(disk), logStore, interrupted, { term, vote, commit });
  } else await dropStaged(disk);
  const proposals = new Proposals(options.id, random, limits);
  const machine = await loadMachine(disk, options.id, proposals.incarnation);
  const { hardState, start, entries } = await logStore.load(disk, initial, limits.scanPageEntries);
  const lastIndex = entries.at(-1)?.index ?? start.index;
  const applied = machine.appliedIndex as LogIndex;
  if (applied < start.index || applied > lastIndex) {
    throw new DiskError(
      "corrupt",
      `the state is at index ${applied}, the log covers ${start.index} to ${lastIndex}: ` +
        "remove this member's data and let it join again",
    );
  }
  const config = {
    id: options.id,
    electionTicksMin: limits.electionTicksMin,
    electionTicksMax: limits.electionTicksMax,
    heartbeatTicks: limits.heartbeatTicks,
    maxEntryBytes: limits.entryBytesMax,
    maxUncommittedBytes: limits.uncommittedBytesMax,
    maxAppendBytes: limits.appendBytesMax,
    maxInflightAppends: limits.inflightAppendsMax,
    maxCommittedBytesPerReady: limits.committedBytesPerReadyMax,
  };
  const raftStart: RaftStart = { hardState, entries, snapshot: start, applied };
  const raft = new Raft(config, random, raftStart, {
    encode: (membership: Membership) => encodeMembershipChange(membership, []),
    decode: (data: Uint8Array) => decodeMembershipChange(data).membership,
  });
  return { machine, raft, logStore, proposals, clusterId, logStart: start.index, lastIndex };
}

export async function loadMachine(
  disk: Disk,
  member: MemberId,
  incarnation: number,
): Promise<StateMachine> {
  const machine = new StateMachine(disk, { self: { member, incarnation } });
  await loadStateMachine(machine, disk, pageReader(disk));
  return machine;
}

function foundingMembership(options: MemberOptions): Membership {
  const voters = options.cluster.map(({ id }) => id).sort((a, b) => a - b);
  return { voters, outgoing: [], learners: [], learnersNext: [] };
}

function checkOptions(options: MemberOptions): void {
  const { cluster, id, name, identity } = options;
  const self = cluster.find((peer) => peer.id === id);
  const refuse = (text: string) => {
    throw new StatusError(Code.invalidArgument, text);
  };
  if (!self) return refuse(`member "${name}" (${identity}) is not in the initial cluster`);
  if (self.name !== name) {
    return refuse(`the initial cluster calls this member's key "${self.name}", not "${name}"`);
  }
  if (new Set(cluster.map((peer) => peer.id)).size !== cluster.length) {
    return refuse("the initial cluster names a member's key twice");
  }
  if (new Set(cluster.map((peer) => peer.name)).size !== cluster.length) {
    return refuse("the initial cluster uses a name twice");
  }
}

/** A data directory belongs to one member of one cluster, for ever. */
async function claimDirectory(
  disk: Disk,
  options: MemberOptions,
  cluster: ClusterId,
): Promise<void> {
  const known = readIdentity(disk);
  if (!known) {
    const identity = {
      member: options.id,
      name: options.name,
      clusterHigh: cluster.high,
      clusterLow: cluster.low,
      identity: options.identity,
    };
    return writeAll(disk, [identityOperation(identity)], true);
  }
  const knownCluster = { high: known.clusterHigh ?? 0, low: known.clusterLow ?? 0 };
  if (known.member !== options.id) {
    throw new StatusError(
      Code.failedPrecondition,
      `the data directory belongs to member "${known.name}" (${known.identity}), ` +
        `not to "${options.name}" (${options.identity})`,
    );
  }
  if (knownCluster.high !== cluster.high || knownCluster.low !== cluster.low) {
    throw new StatusError(
      Code.failedPrecondition,
      `the data directory belongs to cluster ${clusterIdText(knownCluster)}, ` +
        `the initial cluster given is ${clusterIdText(cluster)}`,
    );
  }
}

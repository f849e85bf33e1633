/** From what the disk holds to a member that can start. */
import { EntryKind, type LogIndex, type Membership, Raft, type Term } from "../raft/mod.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import { type Disk, DiskError, type MemberId, type Runtime } from "../runtime/types.ts";
import { loadStateMachine, pageReader, repair, StateMachine } from "../store/mod.ts";
import { type ClusterId, clusterIdOf } from "./cluster-id.ts";
import { dropStaged, install, interruptedInstall, writeAll } from "./installer.ts";
import { limits, limitsWith, type MemberLimits } from "./limits.ts";
import { identityOperation, LogStore, readIdentity } from "./log-store.ts";
import { Member } from "./member.ts";
import { Proposals } from "./proposals.ts";
import { RosterHistory } from "./roster.ts";
import type { MemberOptions } from "./types.ts";
import { decodeMembershipChange, encodeMembershipChange, type RosterMeta } from "./wire.ts";

export interface Loaded {
  readonly machine: StateMachine;
  readonly raft: Raft;
  readonly logStore: LogStore;
  readonly proposals: Proposals;
  readonly rosters: RosterHistory;
  /** Undefined: a joiner that has not heard from its cluster yet. */
  readonly clusterId: ClusterId | undefined;
  readonly logStart: number;
  readonly lastIndex: LogIndex;
}

/**
 * Loads and starts a member on a runtime; the caller closes both, the member first. Rejects with a
 * StatusError or DiskError that names what is wrong with options or data.
 */
export async function openMember(runtime: Runtime, options: MemberOptions): Promise<Member> {
  const member = new Member(runtime, options, await load(runtime, options));
  await member.start();
  return member;
}

async function load(runtime: Runtime, options: MemberOptions): Promise<Loaded> {
  const limits = limitsWith(options.limits);
  const { disk, random } = runtime;
  const clusterId = await claimDirectory(disk, options);
  const logStore = new LogStore();
  const initial = foundation(options);
  await finishInstall(runtime, logStore, initial);
  const proposals = new Proposals(options.id, random, limits);
  const machine = await loadMachine(disk, options.id, proposals.incarnation);
  const { hardState, start, entries } = await logStore.load(disk, initial, limits.scanPageEntries);
  const lastIndex = entries.at(-1)?.index ?? start.index;
  const applied = machine.appliedIndex as LogIndex;
  if (applied < start.index || applied > lastIndex) {
    throw new DiskError(
      "corrupt",
      `the state is at index ${applied}, the log covers ${start.index} to ${lastIndex}: ${repair}`,
    );
  }
  const rosters = new RosterHistory(start.index, start.roster);
  for (const entry of entries) {
    if (entry.kind === EntryKind.membership)
      rosters.append(entry.index, decodeMembershipChange(entry.data).roster);
  }
  if (rosters.at(applied).removed.includes(options.id)) throw removedError(options.name);
  const raft = new Raft(
    raftConfig(options.id, limits),
    random,
    { hardState, entries, snapshot: start, applied },
    {
      encode: (membership: Membership) => encodeMembershipChange(membership, rosters.current),
      decode: (data: Uint8Array) => decodeMembershipChange(data).membership,
    },
  );
  const logStart = start.index;
  return { machine, raft, logStore, proposals, rosters, clusterId, logStart, lastIndex };
}

/** A crash may have interrupted the installation of a snapshot: it is finished, or forgotten. */
async function finishInstall(
  { disk, log }: Runtime,
  logStore: LogStore,
  initial: RosterMeta,
): Promise<void> {
  const interrupted = interruptedInstall(disk);
  if (!interrupted) return await dropStaged(disk);
  log.warn("finishing the installation of a snapshot", { index: interrupted.index });
  const { hardState } = await logStore.load(disk, initial, limits.scanPageEntries);
  const commit = Math.max(hardState.commit, interrupted.index) as LogIndex;
  const term = hardState.term > interrupted.term ? hardState.term : interrupted.term;
  const vote = term === hardState.term ? hardState.vote : undefined;
  await install(disk, pageReader(disk), logStore, interrupted, { term, vote, commit });
}

function raftConfig(id: MemberId, limits: MemberLimits) {
  return {
    id,
    electionTicksMin: limits.electionTicksMin,
    electionTicksMax: limits.electionTicksMax,
    heartbeatTicks: limits.heartbeatTicks,
    maxEntryBytes: limits.entryBytesMax,
    maxUncommittedBytes: limits.uncommittedBytesMax,
    maxAppendBytes: limits.appendBytesMax,
    maxInflightAppends: limits.inflightAppendsMax,
    maxCommittedBytesPerReady: limits.committedBytesPerReadyMax,
  };
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

/** Where a log without records begins: with the founders, or for a joiner with nobody. */
export function foundation({
  cluster,
  initialClusterState,
}: Pick<MemberOptions, "cluster" | "initialClusterState">): RosterMeta {
  const joins = initialClusterState === "existing";
  const peers = [...cluster].sort((a, b) => a.id - b.id);
  const voters = joins ? [] : peers.map(({ id }) => id);
  return {
    index: 0 as LogIndex,
    term: 0 as Term,
    membership: { voters, outgoing: [], learners: [], learnersNext: [] },
    roster: { peers, removed: [] },
  };
}

export function removedError(name: string): StatusError {
  return new StatusError(
    Code.unavailable,
    `etcdserver: member "${name}" has been removed from the cluster: to bring it back, delete its ` +
      "data and its peer key, and add it again",
  );
}

function checkOptions(options: MemberOptions): void {
  const { cluster, id, name, identity } = options;
  const refused = (text: string) => new StatusError(Code.invalidArgument, text);
  if (cluster.length === 0) throw refused("the initial cluster names nobody");
  if (new Set(cluster.map((peer) => peer.id)).size !== cluster.length) {
    throw refused("the initial cluster names a member's key twice");
  }
  if (new Set(cluster.map((peer) => peer.name)).size !== cluster.length) {
    throw refused("the initial cluster uses a name twice");
  }
  const self = cluster.find((peer) => peer.id === id);
  if (options.initialClusterState === "existing") return;
  if (!self) throw refused(`member "${name}" (${identity}) is not in the initial cluster`);
  if (self.name !== name) {
    throw refused(`the initial cluster calls this member's key "${self.name}", not "${name}"`);
  }
}

/** A data directory belongs to one member of one cluster, for ever. */
async function claimDirectory(disk: Disk, options: MemberOptions): Promise<ClusterId | undefined> {
  const known = readIdentity(disk);
  if (!known) {
    checkOptions(options);
    const joins = options.initialClusterState === "existing";
    const founders = options.cluster.map(({ identity }) => identity);
    const cluster = joins ? undefined : clusterIdOf(founders);
    await writeAll(disk, [memberOperation(options, cluster)], true);
    return cluster;
  }
  if (known.member !== options.id) {
    throw new StatusError(
      Code.failedPrecondition,
      `the data directory belongs to member "${known.name}" (${known.identity}), ` +
        `not to "${options.name}" (${options.identity})`,
    );
  }
  return known.cluster ? (known.cluster as ClusterId) : undefined;
}

export function memberOperation(
  { id, name, identity }: Pick<MemberOptions, "id" | "name" | "identity">,
  cluster: ClusterId | undefined,
) {
  return identityOperation({ member: id, name, identity, ...(cluster && { cluster }) });
}

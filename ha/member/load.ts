/** Loads from the disk what a member needs to start. */
import type { RosterNews } from "../../proto/gen/raft.ts";
import { EntryKind, type LogIndex, type LogPast, type Membership, Raft } from "../raft/mod.ts";
import { DiskError, type MemberId, type Runtime } from "../runtime/types.ts";
import { pageReader, repair } from "../store/mod.ts";
import { claimDirectory, type DataDirectory, foundation } from "./data-directory.ts";
import { Founding, removedError } from "./founding.ts";
import { dropStaged, install, interruptedInstall } from "./installer.ts";
import { limits, limitsWith, type MemberLimits } from "./limits.ts";
import { loadMachine } from "./load-machine.ts";
import type { Loaded } from "./loaded.ts";
import { LogStore } from "./log-store.ts";
import { Member } from "./member.ts";
import { PeerLinks } from "./peer-links.ts";
import { Proposals } from "./proposals.ts";
import { RosterHistory } from "./roster.ts";
import type { MemberOptions } from "./types.ts";
import { decodeMembershipChange, encodeMembershipChange, type RosterMeta } from "./wire.ts";

/**
 * Loads and starts a member on a runtime; the caller closes both, the member first. A member
 * without data first waits until it takes part in a cluster (`founding.ts`). Rejects with a
 * StatusError or DiskError that names what is wrong with options or data.
 */
export async function openMember(runtime: Runtime, options: MemberOptions): Promise<Member> {
  const links = new PeerLinks(runtime.network);
  let directory = await claimDirectory(runtime.disk, runtime.random, options);
  let news: RosterNews | undefined;
  if (directory.cluster === undefined) {
    const founding = new Founding(runtime, options, directory, links);
    directory = await founding.run();
    news = founding.news;
  }
  const member = new Member(runtime, options, await load(runtime, options, directory, links));
  await member.start(news);
  return member;
}

async function load(
  runtime: Runtime,
  options: MemberOptions,
  directory: DataDirectory,
  links: PeerLinks,
): Promise<Loaded> {
  const limits = limitsWith(options.limits);
  const { disk, random } = runtime;
  const logStore = new LogStore();
  const initial = beginningOf(directory, options);
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
  const past: LogPast = { read: (from, to, most) => logStore.read(disk, from, to, most) };
  const raft = new Raft(
    raftConfig(options.id, limits),
    random,
    { hardState, entries, snapshot: start, applied, past },
    {
      encode: (membership: Membership) => encodeMembershipChange(membership, rosters.current),
      decode: (data: Uint8Array) => decodeMembershipChange(data).membership,
    },
  );
  const logStart = start.index;
  return { machine, raft, logStore, proposals, rosters, directory, links, logStart, lastIndex };
}

/** The record on the disk takes precedence over the flags; older versions wrote no such record. */
function beginningOf(directory: DataDirectory, options: MemberOptions): RosterMeta {
  const joined = directory.incarnation !== 0;
  const { cluster } = options;
  const initialClusterState = joined ? "existing" : options.initialClusterState;
  return directory.foundation ?? foundation({ cluster, initialClusterState });
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
    maxHeldBytes: limits.logBytesHeld,
    releaseStep: limits.logReleaseStep,
  };
}

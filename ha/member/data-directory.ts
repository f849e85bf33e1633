/** Whose data a disk holds: the one record that a member writes before all others. */
import type { MemberIdentity } from "../../proto/gen/raft.ts";
import type { LogIndex, Term } from "../raft/mod.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Disk, DiskOperation, Random } from "../runtime/types.ts";
import type { ClusterId } from "./cluster-id.ts";
import { writeAll } from "./installer.ts";
import { identityOperation, readIdentity } from "./log-store.ts";
import type { MemberOptions } from "./types.ts";
import { type RosterMeta, rosterMetaFromWire, rosterMetaToWire } from "./wire.ts";

/** What the record says, for a member that was opened on this disk. */
export interface DataDirectory {
  /** Undefined: this member takes part in no cluster yet. */
  readonly cluster: ClusterId | undefined;
  /** Number of this disk, drawn at random; 0: not drawn yet, or written by an older version. */
  readonly incarnation: number;
  /** While founding: the coordinator's incarnation for which this one was drawn; 0: none. */
  readonly coordinator: number;
  /** Where the log begins; undefined: written by an older version, or in no cluster yet. */
  readonly foundation: RosterMeta | undefined;
}

/** A data directory belongs to one member of one cluster, for ever. */
export async function claimDirectory(
  disk: Disk,
  random: Random,
  options: MemberOptions,
): Promise<DataDirectory> {
  const known = readIdentity(disk);
  if (known && known.member !== options.id) {
    throw new StatusError(
      Code.failedPrecondition,
      `the data directory belongs to member "${known.name}" (${known.identity}), ` +
        `not to "${options.name}" (${options.identity})`,
    );
  }
  if (known?.cluster) {
    const { foundation } = known;
    return {
      cluster: known.cluster as ClusterId,
      incarnation: known.incarnation ?? 0,
      coordinator: 0,
      foundation: foundation && rosterMetaFromWire(foundation),
    };
  }
  checkOptions(options);
  const claimed: DataDirectory = {
    cluster: undefined,
    incarnation: known?.incarnation ?? 0,
    coordinator: known?.coordinator ?? 0,
    foundation: undefined,
  };
  if (claimed.incarnation !== 0 || waitsForCoordinator(options)) {
    if (!known) await writeDirectory(disk, options, claimed);
    return claimed;
  }
  const drawn = { ...claimed, incarnation: drawIncarnation(random) };
  await writeDirectory(disk, options, drawn);
  return drawn;
}

export function writeDirectory(
  disk: Disk,
  options: MemberOptions,
  directory: DataDirectory,
): Promise<void> {
  return writeAll(disk, [directoryOperation(options, directory)], true);
}

export function directoryOperation(
  { id, name, identity }: Pick<MemberOptions, "id" | "name" | "identity">,
  { cluster, incarnation, coordinator, foundation }: Partial<DataDirectory>,
): DiskOperation {
  const record: MemberIdentity = {
    member: id,
    name,
    identity,
    ...(cluster && { cluster }),
    ...(incarnation && { incarnation }),
    ...(coordinator && { coordinator }),
    ...(foundation && { foundation: rosterMetaToWire(foundation) }),
  };
  return identityOperation(record);
}

/** 1..2^52: exact as a number. */
export function drawIncarnation(random: Random): number {
  const bytes = Buffer.from(random.bytes(7));
  return bytes.readUIntBE(0, 6) * 16 + ((bytes[6] ?? 0) >> 4) + 1;
}

/** The founder with the lowest id asks the others, and decides that the cluster is founded. */
export function coordinatorOf({ cluster }: Pick<MemberOptions, "cluster">): number {
  return Math.min(...cluster.map(({ id }) => id));
}

function waitsForCoordinator(options: MemberOptions): boolean {
  return options.initialClusterState !== "existing" && coordinatorOf(options) !== options.id;
}

/** Where a log without records begins: with the founders, or for a joiner with no members. */
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

function checkOptions(options: MemberOptions): void {
  const { cluster, id, name, identity } = options;
  const refused = (text: string) => new StatusError(Code.invalidArgument, text);
  if (cluster.length === 0) throw refused("the initial cluster names no members");
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

/**
 * A member as its administrators see it; the same methods as `StoreAdmin` in `ha/etcd/admin.ts`,
 * which the etcd face hands on to operators' tools.
 *
 * A member's address is a URL `http://host:port?p2p=<peer id>`: etcd's tools know addresses only as
 * URLs, refuse a path in them, and leave a query alone. `http://host:port/p2p/<peer id>` is also
 * understood. The peer id is the member's identity. A member that is added with `http://host:port`
 * alone shows its identity when it first calls under the cluster's token, and is known by it then.
 */
import type { MembershipRequest } from "../../proto/gen/raft.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import { DiskError, type MemberId } from "../runtime/types.ts";
import {
  type AlarmRecord,
  AlarmType,
  type Command,
  storeErrors as errors,
  type Outcome,
  pageReader,
  type Revision,
} from "../store/mod.ts";
import { backupPieces } from "./backup.ts";
import { CallKind } from "./calls.ts";
import { ChangeAction } from "./changes.ts";
import { drawIncarnation } from "./data-directory.ts";
import { hashInSteps } from "./hashing.ts";
import { limits } from "./limits.ts";
import type { Member } from "./member.ts";
import type { ClusterPeer } from "./types.ts";
import { peerToWire } from "./wire.ts";

export interface MemberInfo {
  readonly id: MemberId;
  /** Empty until the member has started. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  /** Empty until the member has started. */
  readonly clientUrls: readonly string[];
  readonly learner: boolean;
}

export interface AlarmInfo {
  readonly member: MemberId;
  readonly kind: "noSpace" | "corrupt";
}

export interface KeyHash {
  /** Unsigned 32 bits. */
  readonly hash: number;
  readonly compactRevision: Revision;
  readonly revision: Revision;
}

/** How long a transfer of leadership may take. */
const moveLeaderMillisMax = 3_000;
/** How long a member that stops waits until its peers know the new leader. */
export const handOverMillisMax = 1_000;

export interface AdminHost {
  propose(command: Command): Promise<Outcome>;
  /** Resolves when all that was acknowledged before is applied here. */
  barrier(): Promise<void>;
}

export class MemberAdmin {
  readonly #member: Member;
  readonly #host: AdminHost;

  constructor(member: Member, host: AdminHost) {
    this.#member = member;
    this.#host = host;
  }

  /** In the order of their ids. */
  async members(): Promise<readonly MemberInfo[]> {
    const { learners } = this.#member.raftStatus.membership;
    return this.#member.roster.peers.map((peer) =>
      infoOf(peer, learners.includes(peer.id) && peer.catchingUp !== true),
    );
  }

  async memberAdd(member: {
    readonly peerUrls: readonly string[];
    readonly learner: boolean;
  }): Promise<MemberInfo> {
    const { addresses, identity } = parsePeerUrls(member.peerUrls);
    if (identity === undefined && !this.#member.options.clusterToken) {
      throw invalidUrl(
        member.peerUrls[0] ?? "",
        "has no identity, and this cluster has no token under which the member could show it: " +
          "http://host:port?p2p=<peer id> is wanted, where the peer id is that of its peer key",
      );
    }
    // Its identity is learnt when it introduces itself (`introductions.ts`).
    const id = identity === undefined ? this.#drawId() : this.#identify(identity);
    const peer = { id, name: "", addresses, identity: identity ?? "" };
    await this.#change(member.learner ? ChangeAction.addLearner : ChangeAction.addVoter, peer);
    return infoOf(peer, member.learner);
  }

  async memberRemove(id: MemberId): Promise<void> {
    await this.#change(ChangeAction.remove, onlyId(id));
  }

  async memberUpdate(id: MemberId, peerUrls: readonly string[]): Promise<void> {
    const { addresses, identity } = parsePeerUrls(peerUrls);
    const known = this.#member.roster.peers.find((peer) => peer.id === id);
    if (known && identity !== undefined && identity !== known.identity) {
      throw invalidUrl(
        peerUrls[0] ?? "",
        "has another identity than the member; a new peer key is a new member",
      );
    }
    await this.#change(ChangeAction.update, { ...onlyId(id), addresses });
  }

  async memberPromote(id: MemberId): Promise<void> {
    await this.#change(ChangeAction.promote, onlyId(id));
  }

  moveLeader(to: MemberId): Promise<void> {
    return this.#member.moveLeader(to, moveLeaderMillisMax);
  }

  /** Nothing if another member leads. */
  handOver(): Promise<void> {
    return this.#member.handOver(handOverMillisMax);
  }

  /** LevelDB compacts in the background: other calls do not wait for it. */
  async defragment(): Promise<void> {
    this.#check();
    await this.#member.runtime.disk.compact?.();
  }

  async hashKv(revision: Revision | undefined): Promise<KeyHash> {
    await this.#host.barrier();
    const { machine } = this.#member;
    const at = revision || machine.revision;
    const { compactRevision } = machine;
    const hash = await this.#hash(machine.hashKvSteps(at, limits.hashKeysPerTurn));
    return { hash, compactRevision, revision: at };
  }

  /** Of all that members have in common: the keys now, and leases, sessions and alarms. */
  async hash(): Promise<number> {
    await this.#host.barrier();
    const { machine } = this.#member;
    return this.#hash(machine.hashSteps(limits.hashKeysPerTurn));
  }

  async #hash(steps: Generator<void, number>): Promise<number> {
    try {
      return await hashInSteps(this.#member, steps);
    } catch (error) {
      throw this.#refusal(error);
    }
  }

  async alarms(): Promise<readonly AlarmInfo[]> {
    return this.#member.machine.alarms.active.map(alarmInfo);
  }

  async alarm(action: "activate" | "deactivate", alarm: AlarmInfo): Promise<AlarmInfo | undefined> {
    const { member, kind } = alarm;
    const active = action === "activate";
    const outcome = await this.#host.propose({
      kind: "alarm",
      member,
      alarm: AlarmType[kind],
      active,
    });
    return outcome.kind === "alarm" && outcome.changed ? alarm : undefined;
  }

  /**
   * A backup as of one revision (`backup.ts`). `sinceRevision`: only what came after it; throws
   * `compacted` when that is no longer known.
   */
  async *snapshot(sinceRevision?: Revision): AsyncGenerator<Uint8Array, void, undefined> {
    const { runtime, options, clusterId } = this.#member;
    const snapshot = await this.#member.snapshot();
    const { roster, installations } = this.#member;
    const pieces = backupPieces(snapshot, pageReader(runtime.disk), {
      cluster: clusterId,
      member: options.name,
      wallMillis: Math.max(0, Math.floor(runtime.clock.wallMillis())),
      sinceRevision: sinceRevision ?? 0,
      peers: roster.peers.map(peerToWire),
    });
    try {
      for await (const piece of pieces) {
        // The disk was read under another state than the snapshot's.
        if (this.#member.installations !== installations) throw errors.leaderChanged();
        yield piece;
      }
    } catch (error) {
      throw this.#refusal(error);
    }
  }

  async dbSize(): Promise<{ readonly total: number; readonly inUse: number }> {
    const total = await this.#member.quota.measure();
    return { total, inUse: total };
  }

  async #change(action: ChangeAction, peer: ClusterPeer): Promise<void> {
    const membership: MembershipRequest = { action, peer: peerToWire(peer) };
    await new Promise<void>((resolve, reject) => {
      this.#member.call({ kind: CallKind.membership, membership }, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
    try {
      await this.#host.barrier();
    } catch {
      // The change is made; this member may be the one that was removed by it.
    }
  }

  /** As an id that is made of an identity: 1..2^52. */
  #drawId(): MemberId {
    return drawIncarnation(this.#member.runtime.random) as MemberId;
  }

  #identify(identity: string): MemberId {
    const { identify } = this.#member.options;
    if (identify) return identify(identity);
    throw new StatusError(Code.unimplemented, "etcdserver: this member knows no other identities");
  }

  /** What the caller is told; a member that cannot read its disk stops. */
  #refusal(error: unknown): unknown {
    if (!(error instanceof DiskError)) return error;
    this.#member.diskFailed(error);
    return errors.diskFailed(error);
  }

  #check(): void {
    if (this.#member.failure) throw StatusError.from(this.#member.failure);
  }
}

/** A change of membership that names its member by the id alone. */
function onlyId(id: MemberId): ClusterPeer {
  return { id, name: "", addresses: [], identity: "" };
}

function alarmInfo({ member, kind }: AlarmRecord): AlarmInfo {
  return {
    member: member as MemberId,
    kind: kind === AlarmType.noSpace ? "noSpace" : "corrupt",
  };
}

function infoOf(peer: ClusterPeer, learner: boolean): MemberInfo {
  return {
    id: peer.id,
    name: peer.name,
    peerUrls: peer.addresses.map(
      (address) => `http://${address}${peer.identity && `?p2p=${peer.identity}`}`,
    ),
    clientUrls: peer.clientAddresses ?? [],
    learner,
  };
}

/** All URLs of one member. Throws `invalidArgument` naming the URL and what it lacks. */
function parsePeerUrls(urls: readonly string[]): {
  readonly addresses: readonly string[];
  readonly identity: string | undefined;
} {
  if (urls.length === 0 || urls.length > limits.addressesMax) {
    throw errors.invalid("peerUrls", `${urls.length} URLs`, `1..${limits.addressesMax} of them`);
  }
  const addresses: string[] = [];
  let identity: string | undefined;
  for (const url of urls) {
    const match =
      /^https?:\/\/([^/?#@]+:\d{1,5})(?:\/p2p\/([A-Za-z0-9-]+)|\/?\?p2p=([A-Za-z0-9-]+)|\/?)$/.exec(
        url,
      );
    const address = match?.[1];
    if (address === undefined || url.length > limits.addressBytesMax) {
      throw invalidUrl(url, "is not http://host:port?p2p=<peer id>");
    }
    const own = match?.[2] ?? match?.[3];
    if (own !== undefined && identity !== undefined && own !== identity) {
      throw invalidUrl(url, `has another identity than the URL before it (${identity})`);
    }
    identity ??= own;
    addresses.push(address);
  }
  return { addresses, identity };
}

function invalidUrl(url: string, why: string): StatusError {
  return new StatusError(Code.invalidArgument, `etcdserver: peer URL "${url}" ${why}`);
}

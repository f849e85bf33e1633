/**
 * Members detect that their states differ. From time to time the leader asks all members to hash
 * all keys as they were at one revision. In a correct cluster all hashes are equal:
 *
 *     leader ─ hash at revision r ─► peers        own hash, theirs ─► who differs? ─► CORRUPT alarm
 *
 * The alarm names each member that differs from a majority. Without a majority the leader cannot
 * tell which members are right, and the alarm names member 0 (etcd `corrupt.go`, CompactHashCheck).
 * Under the alarm `apply` refuses everything (`ha/store/alarms.ts`) until an operator has replaced
 * the member and disarmed it.
 */
import type { Answer, Call } from "../../proto/gen/raft.ts";
import { StatusError } from "../runtime/status-error.ts";
import { DiskError, type Log, type MemberId } from "../runtime/types.ts";
import { CallKind } from "./calls.ts";

export interface CorruptionHost {
  readonly id: MemberId;
  readonly log: Log;
  /**
   * The term in which this member leads and has applied what came before; undefined: it does not.
   */
  leads(): number | undefined;
  /** All members of the cluster, this one included. */
  members(): readonly MemberId[];
  isLinked(id: MemberId): boolean;
  /** The revision of the applied state. */
  revision(): number;
  /** Hashes all keys at a revision. Rejects if it is compacted or not applied yet. */
  hash(revision: number): Promise<number>;
  /** Resolves when all that was acknowledged before is applied here. */
  barrier(): Promise<void>;
  /** A number that no other call of this member has. */
  newCall(): number;
  send(to: MemberId, call: Call): void;
  raise(member: MemberId): void;
  diskFailed(error: DiskError): void;
}

interface Round {
  readonly term: number;
  readonly revision: number;
  readonly waiting: Set<MemberId>;
  readonly hashes: Map<MemberId, number>;
}

const nobodyInParticular = 0 as MemberId;

export class CorruptionCheck {
  readonly #host: CorruptionHost;
  #round: Round | undefined;
  /**
   * The member computes one hash at a time, since hashing is costly and any peer may ask for it.
   */
  #answering = false;

  constructor(host: CorruptionHost) {
    this.#host = host;
  }

  /** Ends the previous round with the answers that have arrived, and begins the next one. */
  begin(): void {
    this.#judge();
    const { id, members, leads, revision, newCall, send, isLinked } = this.#host;
    const term = leads();
    const peers = members().filter((peer) => peer !== id && isLinked(peer));
    if (term === undefined || peers.length === 0) return;
    const round: Round = {
      term,
      revision: revision(),
      waiting: new Set([id, ...peers]),
      hashes: new Map(),
    };
    this.#round = round;
    const call = { id: newCall(), kind: CallKind.hash, revision: round.revision };
    for (const peer of peers) send(peer, call);
    void this.#hash(round.revision).then((hash) => this.#take(round, id, hash));
  }

  /** A leader asks. What cannot be answered is not: it has others to ask. */
  answer(call: Call, tell: (answer: Answer) => void): void {
    if (this.#answering) return;
    this.#answering = true;
    void this.#hashSoon(call.revision ?? 0).then((hash) => {
      this.#answering = false;
      if (hash !== undefined) tell({ id: call.id ?? 0, hash, revision: call.revision ?? 0 });
    });
  }

  /** Of a revision there is one right hash, whichever round asked for it. */
  answered(from: MemberId, { hash, revision }: Answer): void {
    const round = this.#round;
    if (round && round.revision === revision) this.#take(round, from, hash);
  }

  #take(round: Round, from: MemberId, hash: number | undefined): void {
    if (this.#round !== round || !round.waiting.delete(from)) return;
    if (hash !== undefined) round.hashes.set(from, hash);
    if (round.waiting.size === 0) this.#judge();
  }

  #judge(): void {
    const round = this.#round;
    this.#round = undefined;
    const { leads, members, log, raise } = this.#host;
    if (!round || leads() !== round.term) return;
    const differing = whoDiffers(round.hashes, members().length);
    if (differing.length === 0) return;
    log.error("the states of the members differ: everything will be refused", {
      revision: round.revision,
      hashes: Object.fromEntries(round.hashes),
      differing,
    });
    for (const member of differing) raise(member);
  }

  async #hashSoon(revision: number): Promise<number | undefined> {
    try {
      // The leader has applied the revision; this member may be behind.
      await this.#host.barrier();
    } catch (error) {
      this.#unanswered(revision, error);
      return undefined;
    }
    return await this.#hash(revision);
  }

  /** Never rejects. */
  async #hash(revision: number): Promise<number | undefined> {
    try {
      return await this.#host.hash(revision);
    } catch (error) {
      if (error instanceof DiskError) this.#host.diskFailed(error);
      this.#unanswered(revision, error);
      return undefined;
    }
  }

  #unanswered(revision: number, error: unknown): void {
    const { message } = StatusError.from(error);
    this.#host.log.info("no hash was taken for the comparison of states", { revision, message });
  }
}

/**
 * The members whose hash is not that of the majority of `size` members; 0 where hashes differ and
 * none has a majority.
 */
export function whoDiffers(
  hashes: ReadonlyMap<MemberId, number>,
  size: number,
): readonly MemberId[] {
  const groups = Map.groupBy(hashes.keys(), (member) => hashes.get(member));
  if (groups.size <= 1) return [];
  const majority = [...groups.values()].find((group) => group.length > size / 2);
  if (!majority) return [nobodyInParticular];
  return [...hashes.keys()].filter((member) => !majority.includes(member));
}

/**
 * What a member answers to a peer without data that asks whether it takes part (`founding.ts`):
 * what the membership that is applied here says of the peer's disk.
 */
import type { Hello, Standing } from "../../proto/gen/raft.ts";
import type { MemberId } from "../runtime/types.ts";
import { Verdict, welcomeTo } from "./founding.ts";
import type { Roster } from "./roster.ts";
import type { RosterMeta } from "./wire.ts";

export interface AdmissionHost {
  /** The roster of the last applied entry; undefined: nothing that could tell of peers is applied. */
  roster(): Roster | undefined;
  readonly cluster: number;
  /** The beginning of this member's log, if it is a founder. */
  readonly foundation: RosterMeta | undefined;
  /** Records in the roster which disk the peer uses; called again until the roster has it. */
  pin(peer: MemberId, incarnation: number): void;
}

export class Admission {
  readonly #host: AdmissionHost;
  /** Peers that are linked and have no data: nothing can be counted on that they would store. */
  readonly #without = new Set<MemberId>();

  constructor(host: AdmissionHost) {
    this.#host = host;
  }

  /** The peer has no data, as far as this member has heard. */
  hasNoData(peer: MemberId): boolean {
    return this.#without.has(peer);
  }

  /** The link to the peer has come up or gone down, or the peer has spoken as a member. */
  forget(peer: MemberId): void {
    if (this.#without.size > 0) this.#without.delete(peer);
  }

  /** Undefined: this member cannot tell yet; the peer will ask again. */
  answer(from: MemberId, { incarnation: asked = 0 }: Hello): Standing | undefined {
    this.#without.add(from);
    const roster = this.#host.roster();
    if (roster === undefined) return undefined;
    if (roster.removed.includes(from)) return { asked, verdict: Verdict.removed };
    const known = roster.peers.find(({ id }) => id === from);
    // Whether it is yet to be added here, or was removed long ago, nothing here tells.
    if (!known) return undefined;
    const { incarnation: pinned = 0, name } = known;
    if (pinned !== 0 && pinned === asked) return this.#welcome(from, asked);
    // A member that has started has a name; an older version pinned no incarnation.
    if (pinned !== 0 || name !== "") return { asked, verdict: Verdict.bootstrapped };
    if (asked !== 0) this.#host.pin(from, asked);
    return undefined;
  }

  #welcome(from: MemberId, asked: number): Standing {
    const { cluster, foundation } = this.#host;
    const founder = foundation?.roster.peers.find(({ id }) => id === from);
    return welcomeTo(asked, cluster, founder?.incarnation === asked ? foundation : undefined);
  }
}

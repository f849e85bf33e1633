/** Whole members in a simulated world, with everything they apply held against each other. */
import {
  type ClusterPeer,
  type Member,
  type MemberOptions,
  MemberStore,
  openMember,
} from "../../ha/member/mod.ts";
import { Role } from "../../ha/raft/mod.ts";
import { type SimulatedRuntime, World, type WorldOptions } from "../../ha/runtime/simulated/mod.ts";
import { StatusError } from "../../ha/runtime/status-error.ts";
import { DiskError, type MemberId } from "../../ha/runtime/types.ts";
import { Violation } from "../../services/drill/checker/violation.ts";
import { observe, Truth } from "./truth.ts";

export interface Seat {
  readonly peer: ClusterPeer;
  runtime: SimulatedRuntime | undefined;
  member: Member | undefined;
  store: MemberStore | undefined;
  /** Counts lives, so that an opening that was overtaken by a crash is not taken for the present. */
  life: number;
  /** Its disk was damaged: it may stop, or refuse to start, and is then left alone. */
  damaged: boolean;
  /** Damaged, and refused to start: down until an operator replaces it. */
  refused: boolean;
  /** Its disk is failing at present: not to start is all it can do. */
  failing: boolean;
  /** Its disk has failed in this life. */
  hasFailed: boolean;
  /** Faults that have a part in its fate at present, and when the last of them ended. */
  troubles: number;
  calmSince: number;
  /** When it came to lead; undefined: it does not. */
  leadsSince: number | undefined;
  /** Told when this life ends. */
  readonly gone: Set<() => void>;
}

export interface ClusterOptions {
  readonly members: number;
  readonly world?: WorldOptions;
  readonly member?: Pick<MemberOptions, "limits" | "watchLimits">;
  /** The members alone compare their states. */
  readonly blind?: boolean | undefined;
  /** Seats report every disturbance, and no member may rightly depose a leader. */
  readonly stable?: boolean;
}

/**
 * So long after a fault's end, all that it began is over: stopped members have started again, links
 * are up, elections are decided.
 */
const calmMillis = 4_000;
/** A supervisor starts a member again that has stopped by itself. */
const supervisedMillis = 200;

export class Cluster {
  readonly world: World;
  readonly truth: Truth;
  /** The founders, then the members that were added. */
  readonly seats: Seat[];
  readonly #founders: readonly ClusterPeer[];
  readonly #options: ClusterOptions;
  /** Who led in each term. */
  readonly #leaders = new Map<number, MemberId>();
  /** Told of every election, at the instant at which the winner knows. */
  readonly elected = new Set<(seat: Seat, term: number) => void>();
  elections = 0;
  failure: unknown;

  constructor(seed: string | number, options: ClusterOptions) {
    this.world = new World(seed, options.world);
    this.truth = new Truth(() => this.world.now, options.blind ?? false);
    this.#options = options;
    const peers = Array.from({ length: options.members }, (_, i) => peerOf(i + 1));
    this.#founders = peers;
    this.seats = peers.map(newSeat);
    observe(this.truth);
  }

  /** A place for one more member, not started yet. */
  newSeat(): Seat {
    const seat = newSeat(peerOf(this.seats.length + 1));
    this.seats.push(seat);
    // Its host is there from the beginning, so that faults find it.
    this.start(seat);
    this.crash(seat, false);
    return seat;
  }

  /** It is no member any more, or never was. */
  retire(seat: Seat): void {
    seat.refused = true;
    this.crash(seat, false);
  }

  /** Retires seats that the membership does not know: the answer to a change may have been lost. */
  retireStrangers(): void {
    const membership = this.leader?.member?.raftStatus.membership;
    if (!membership) return;
    const { voters, learners } = membership;
    for (const seat of this.seats) {
      if (![...voters, ...learners].includes(seat.peer.id)) this.retire(seat);
    }
  }

  isAlive(seat: Seat): boolean {
    return seat.life > 0 && this.world.isAlive(seat.peer.id);
  }

  /** Begins the next life of a member. */
  start(seat: Seat): void {
    const { id, name, identity } = seat.peer;
    seat.runtime = seat.life === 0 ? this.world.createRuntime(id, name) : this.world.restart(id);
    const life = ++seat.life;
    seat.hasFailed = seat.failing;
    seat.leadsSince = undefined;
    seat.calmSince = this.world.now;
    const founds = this.#founders.includes(seat.peer);
    const options: MemberOptions = {
      id,
      name,
      identity,
      cluster: founds ? this.#founders : this.seats.map(({ peer }) => peer),
      initialClusterState: founds ? "new" : "existing",
      identify: (given) => Number(given.split("-")[1]) as MemberId,
      ...this.#options.member,
    };
    openMember(seat.runtime, options).then(
      (member) => {
        if (seat.life !== life || !this.isAlive(seat)) return;
        seat.member = member;
        seat.store = new MemberStore(member);
        this.#observe(seat, member);
      },
      (error: unknown) => {
        if (seat.life === life && this.isAlive(seat)) this.#notStarted(seat, error);
      },
    );
  }

  startAll(): void {
    for (const seat of this.seats) this.start(seat);
  }

  crash(seat: Seat, powerLoss: boolean): void {
    if (!this.isAlive(seat)) return;
    seat.member = undefined;
    seat.store = undefined;
    seat.runtime = undefined;
    seat.leadsSince = undefined;
    this.world.crash(seat.peer.id, { powerLoss });
    for (const tell of [...seat.gone]) tell();
  }

  /** Dead, or alive without use: its supervisor would start it again. */
  revive(seat: Seat): void {
    if (seat.refused) return;
    if (seat.member?.failure) this.crash(seat, false);
    if (!this.isAlive(seat)) this.start(seat);
  }

  get leader(): Seat | undefined {
    const leading = this.seats.filter((seat) => seat.member?.leadership.role === Role.leader);
    return leading.sort((a, b) => termOf(b) - termOf(a))[0];
  }

  /** Throws what went wrong since the last call. */
  check(): void {
    this.failure ??= this.truth.violation;
    if (this.failure !== undefined) throw this.failure;
  }

  get broken(): boolean {
    return this.failure !== undefined || this.truth.violation !== undefined;
  }

  /** Everybody who is not down for good. */
  get able(): readonly Seat[] {
    return this.seats.filter((seat) => !seat.refused);
  }

  /** All members are up, and have applied as far as each other. */
  get converged(): boolean {
    const members = this.able.map((seat) => seat.member);
    const [first] = members;
    return (
      first !== undefined &&
      members.every((member) => member?.appliedIndex === first.appliedIndex && !member.failure)
    );
  }

  assertEqualStates(): void {
    if (this.#options.blind) return;
    const states = this.able.map((seat) => {
      const machine = seat.member?.machine;
      return { name: seat.peer.name, index: machine?.appliedIndex, hash: machine?.hash() };
    });
    if (new Set(states.map(({ index, hash }) => `${index} ${hash}`)).size > 1) {
      throw new Violation(`state equality: ${JSON.stringify(states)}`);
    }
  }

  /**
   * A damaged disk must be refused, a failing one may be, and a member that was removed while it was
   * down (the answer to the operator may have been lost), or has lost its data, is told so; anything
   * else is a bug.
   */
  #notStarted(seat: Seat, error: unknown): void {
    const kind = error instanceof DiskError ? error.kind : undefined;
    const told = (words: RegExp) => error instanceof StatusError && words.test(error.message);
    const removed = told(/has been removed/);
    const wiped = seat.damaged && told(/has already been bootstrapped/);
    if (removed || wiped || (seat.damaged && kind === "corrupt")) seat.refused = true;
    else if (!seat.failing || kind === undefined) this.failure ??= error;
    this.crash(seat, false);
  }

  #observe(seat: Seat, member: Member): void {
    const notice = () => {
      if (seat.member !== member) return;
      this.#noticeEnd(seat, member);
      const { role, term } = member.leadership;
      if (role !== Role.leader) {
        if (seat.leadsSince !== undefined) this.#deposed(seat, term);
        seat.leadsSince = undefined;
        return;
      }
      seat.leadsSince ??= this.world.now;
      const known = this.#leaders.get(term);
      const { id } = seat.peer;
      if (known === id) return;
      if (known !== undefined) {
        const both = `${known} and ${id}`;
        this.failure ??= new Violation(`one leader per term: ${both} lead in term ${term}`);
        return;
      }
      this.elections++;
      this.#leaders.set(term, id);
      for (const tell of this.elected) tell(seat, term);
    };
    notice();
    member.onChange(notice);
  }

  /** A member stops by itself when its disk fails or is damaged, or it was removed. */
  #noticeEnd(seat: Seat, member: Member): void {
    const { failure } = member;
    if (!failure || /has been removed|server stopped/.test(failure.message)) return;
    if (!seat.damaged && !seat.hasFailed) this.failure ??= failure;
    if (!seat.damaged) return;
    const { life } = seat;
    this.world.clock.after(supervisedMillis, () => {
      if (seat.life === life) this.revive(seat);
    });
  }

  /** Pre-vote and leader stickiness hold: no member deposes a leader that a quorum hears. */
  #deposed(seat: Seat, term: number): void {
    const since = this.world.now - calmMillis;
    const ledSince = seat.leadsSince ?? this.world.now;
    const calm = this.seats.filter((each) => each.troubles === 0 && each.calmSince <= since);
    const quorum = Math.floor(this.seats.length / 2) + 1;
    const healthy = calm.includes(seat) && calm.length >= quorum && ledSince <= since;
    if (!healthy || !this.#options.stable || calm.some(({ damaged }) => damaged)) return;
    const text = `${seat.peer.name} was deposed by term ${term}, though a quorum had heard it`;
    this.failure ??= new Violation(`leader stability: ${text} for ${calmMillis} ms`);
  }
}

function peerOf(number: number): ClusterPeer {
  const name = `master-${number - 1}`;
  return {
    id: number as MemberId,
    name,
    addresses: [`${name}:2380`],
    identity: `simulated-${number}`,
  };
}

function newSeat(peer: ClusterPeer): Seat {
  return {
    peer,
    runtime: undefined,
    member: undefined,
    store: undefined,
    life: 0,
    damaged: false,
    refused: false,
    failing: false,
    hasFailed: false,
    troubles: 0,
    calmSince: 0,
    leadsSince: undefined,
    gone: new Set(),
  };
}

function termOf(seat: Seat): number {
  return seat.member?.leadership.term ?? 0;
}

/** Whole members in a simulated world, with everything they apply held against each other. */
import { type ClusterPeer, type Member, MemberStore, openMember } from "../../ha/member/mod.ts";
import { Role } from "../../ha/raft/mod.ts";
import { World, type WorldOptions } from "../../ha/runtime/simulated/mod.ts";
import type { MemberId } from "../../ha/runtime/types.ts";
import { StateMachine } from "../../ha/store/mod.ts";

/** A broken guarantee; the message names it. */
export class Violation extends Error {
  override readonly name = "Violation";
}

interface Seat {
  readonly peer: ClusterPeer;
  member: Member | undefined;
  store: MemberStore | undefined;
  /** Counts lives, so that an opening that was overtaken by a crash is not taken for the present. */
  life: number;
}

export class Cluster {
  readonly world: World;
  readonly seats: readonly Seat[];
  /** Who led in each term. */
  readonly #leaders = new Map<number, MemberId>();
  /** What was applied at each index: term and digest of the data. */
  readonly #applied = new Map<number, { readonly term: number; readonly digest: number }>();
  elections = 0;
  failure: unknown;

  constructor(seed: string | number, size: number, options: WorldOptions = {}) {
    this.world = new World(seed, options);
    const peers = Array.from({ length: size }, (_, i): ClusterPeer => ({
      id: (i + 1) as MemberId,
      name: `master-${i}`,
      addresses: [`master-${i}:2380`],
      identity: `simulated-${i + 1}`,
    }));
    this.seats = peers.map((peer) => ({ peer, member: undefined, store: undefined, life: 0 }));
  }

  get peers(): readonly ClusterPeer[] {
    return this.seats.map(({ peer }) => peer);
  }

  /** Begins the next life of a member. */
  start(seat: Seat): void {
    const { id, name, identity } = seat.peer;
    const runtime = seat.life === 0 ? this.world.createRuntime(id, name) : this.world.restart(id);
    const life = ++seat.life;
    const options = { id, name, identity, cluster: this.peers };
    openMember(runtime, options).then(
      (member) => {
        if (seat.life !== life || !this.world.isAlive(id)) return;
        seat.member = member;
        seat.store = new MemberStore(member);
        this.#observe(member);
      },
      (error: unknown) => {
        if (seat.life === life && this.world.isAlive(id)) this.failure ??= error;
      },
    );
  }

  startAll(): void {
    for (const seat of this.seats) this.start(seat);
  }

  crash(seat: Seat, powerLoss: boolean): void {
    if (!this.world.isAlive(seat.peer.id)) return;
    seat.member = undefined;
    seat.store = undefined;
    this.world.crash(seat.peer.id, { powerLoss });
  }

  get leader(): Seat | undefined {
    const leading = this.seats.filter((seat) => seat.member?.leadership.role === Role.leader);
    return leading.sort((a, b) => termOf(b) - termOf(a))[0];
  }

  /** Throws what went wrong since the last call. */
  check(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  /** All members are up, applied as far as each other, and hold the same state. */
  get converged(): boolean {
    const members = this.seats.map((seat) => seat.member);
    const [first] = members;
    return (
      first !== undefined &&
      members.every((member) => member?.appliedIndex === first.appliedIndex && !member.failure)
    );
  }

  assertEqualStates(): void {
    const states = this.seats.map((seat) => {
      const machine = seat.member?.machine;
      return { name: seat.peer.name, index: machine?.appliedIndex, hash: machine?.hash() };
    });
    if (new Set(states.map(({ index, hash }) => `${index} ${hash}`)).size > 1) {
      throw new Violation(`state equality: ${JSON.stringify(states)}`);
    }
  }

  #observe(member: Member): void {
    const notice = () => {
      const { role, term } = member.leadership;
      if (role !== Role.leader) return;
      const known = this.#leaders.get(term);
      if (known === undefined) this.elections++;
      else if (known !== member.options.id) {
        const both = `${known} and ${member.options.id}`;
        this.failure ??= new Violation(`one leader per term: ${both} lead in term ${term}`);
      }
      this.#leaders.set(term, member.options.id);
    };
    notice();
    member.onChange(notice);
  }

  /** An entry was applied somewhere: it must be the entry that everybody applies there. */
  noteApplied(index: number, term: number, data: Uint8Array): void {
    const digest = digestOf(data);
    const known = this.#applied.get(index);
    if (known && (known.term !== term || known.digest !== digest)) {
      this.failure ??= new Violation(
        `log matching: at index ${index} one member applied an entry of term ${known.term}, ` +
          `another one of term ${term}`,
      );
    }
    this.#applied.set(index, { term, digest });
  }
}

/** All machines of the present run tell this cluster what they apply. */
let observed: Cluster | undefined;
const { apply } = StateMachine.prototype;
StateMachine.prototype.apply = function observedApply(index, term, proposal) {
  observed?.noteApplied(index, term, proposal);
  return apply.call(this, index, term, proposal);
};

export function observe(cluster: Cluster | undefined): void {
  observed = cluster;
}

function termOf(seat: Seat): number {
  return seat.member?.leadership.term ?? 0;
}

function digestOf(data: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of data) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

export type { Seat };

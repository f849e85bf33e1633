/** Whole members in a simulated world, for tests that look at single steps. */
import assert from "node:assert/strict";
import {
  type ClusterPeer,
  type Member,
  type MemberOptions,
  MemberStore,
  openMember,
} from "../../ha/member/mod.ts";
import { Role } from "../../ha/raft/mod.ts";
import { type SimulatedRuntime, World, type WorldOptions } from "../../ha/runtime/simulated/mod.ts";
import type { MemberId } from "../../ha/runtime/types.ts";

export interface SimulatedSeat {
  readonly peer: ClusterPeer;
  readonly options: MemberOptions;
  runtime: SimulatedRuntime | undefined;
  member: Member | undefined;
  store: MemberStore | undefined;
}

export function simulatedPeer(number: number): ClusterPeer {
  return {
    id: number as MemberId,
    name: `m${number}`,
    addresses: [`m${number}:2380`],
    identity: `simulated-${number}`,
  };
}

const identify = (identity: string) => Number(identity.slice("simulated-".length)) as MemberId;

export class SimulatedCluster {
  readonly world: World;
  readonly seats: SimulatedSeat[];
  #waiting = 0;
  #running: Promise<void> | undefined;
  #broken: unknown;

  constructor(
    seed: string,
    size: number,
    options: WorldOptions = {},
    more: Partial<MemberOptions> = {},
  ) {
    this.world = new World(seed, options);
    const cluster = Array.from({ length: size }, (_, i) => simulatedPeer(i + 1));
    this.seats = cluster.map((peer) => seatOf(peer, { cluster, ...more }));
  }

  get stores(): readonly MemberStore[] {
    return this.seats.flatMap(({ store }) => store ?? []);
  }

  /** One that is to join: it knows everybody that is there. */
  addSeat(number: number, more: Partial<MemberOptions> = {}): SimulatedSeat {
    const cluster = [...this.seats.map(({ peer }) => peer), simulatedPeer(number)];
    const options = { cluster, initialClusterState: "existing", ...more } as const;
    const seat = seatOf(simulatedPeer(number), options);
    this.seats.push(seat);
    return seat;
  }

  async start(seat: SimulatedSeat): Promise<MemberStore> {
    const { id, name } = seat.peer;
    seat.runtime =
      seat.runtime === undefined ? this.world.createRuntime(id, name) : this.world.restart(id);
    const member = await this.run(openMember(seat.runtime, seat.options), `start of ${name}`);
    seat.member = member;
    seat.store = new MemberStore(member);
    return seat.store;
  }

  /** Starts everybody and waits for a leader that all know. */
  async startAll(): Promise<void> {
    await Promise.all(this.seats.map((seat) => this.start(seat)));
    await this.untilLed();
  }

  async untilLed(): Promise<SimulatedSeat> {
    await this.until(() => {
      const leader = this.leader;
      return (
        leader !== undefined &&
        this.seats.every(
          ({ member }) => !member || member.failure || member.leadership.leader === leader.peer.id,
        )
      );
    }, "a leader that all know");
    return this.leader!;
  }

  get leader(): SimulatedSeat | undefined {
    return this.seats
      .filter(({ member }) => member && !member.failure && member.leadership.role === Role.leader)
      .sort((a, b) => b.member!.leadership.term - a.member!.leadership.term)[0];
  }

  get follower(): SimulatedSeat {
    const leader = this.leader;
    return this.seats.find((seat) => seat.member && !seat.member.failure && seat !== leader)!;
  }

  crash(seat: SimulatedSeat, powerLoss = false): void {
    seat.member = undefined;
    seat.store = undefined;
    this.world.crash(seat.peer.id, { powerLoss });
  }

  /** The world runs as long as anybody waits for something in it. */
  async until(condition: () => boolean, what: string, withinMillis = 20_000): Promise<void> {
    const deadline = this.world.now + withinMillis;
    const stop = this.keepRunning();
    try {
      while (!condition()) {
        if (this.#broken) throw this.#broken;
        assert.ok(this.world.now < deadline, `${what} did not come about\n${this.world.report()}`);
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      await stop();
    }
  }

  /** Runs the world until the promise settles. */
  async run<T>(promise: Promise<T>, what = "the answer", withinMillis = 20_000): Promise<T> {
    let settled = false;
    const end = () => {
      settled = true;
    };
    promise.then(end, end);
    await this.until(() => settled, what, withinMillis);
    return promise;
  }

  /** The world goes on by itself, as fast as it can, until the answer is called. */
  keepRunning(): () => Promise<void> {
    this.#waiting++;
    this.#running ??= this.#run();
    return async () => {
      this.#waiting--;
      if (this.#waiting === 0) await this.#running;
    };
  }

  async #run(): Promise<void> {
    try {
      while (this.#waiting > 0) await this.world.runFor(1);
    } catch (error) {
      this.#broken = error;
    }
    this.#running = undefined;
    if (this.#waiting > 0 && !this.#broken) this.#running = this.#run();
  }

  async converged(): Promise<void> {
    const members = () =>
      this.seats.flatMap(({ member }) => (member && !member.failure ? member : []));
    const index = () => Math.max(...members().map((member) => member.raftStatus.commit));
    await this.until(() => {
      const last = index();
      return members().every((member) => member.appliedIndex === last);
    }, "all members to apply the same index");
    const hashes = new Set(members().map((member) => member.machine.hash()));
    assert.equal(hashes.size, 1, "all members hold the same state");
  }
}

function seatOf(
  peer: ClusterPeer,
  more: Partial<MemberOptions> & Pick<MemberOptions, "cluster">,
): SimulatedSeat {
  const { id, name, identity } = peer;
  const options = { id, name, identity, identify, ...more };
  return { peer, options, runtime: undefined, member: undefined, store: undefined };
}

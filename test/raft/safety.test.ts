/**
 * Raft's promises under random faults, and progress once they end.
 *
 * Every seed is one history: messages are delayed, reordered, doubled and lost, members crash and
 * lose what was not written, disks are slow, links are cut, logs compacted, memberships changed.
 * What must hold all along is checked by {@link Witness} and {@link checkLogMatching}, and here
 * that reads are linearizable. Afterwards everything is healed and must agree.
 *
 * `SEED=n` replays one history, `SEEDS=n` runs more of them.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { joinMemberships, type Membership } from "../../ha/raft/mod.ts";
import type { Random } from "../../ha/runtime/types.ts";
import {
  bytes,
  checkLogMatching,
  codec,
  defaultConfig,
  type Envelope,
  id,
  Member,
  membershipOf,
  Witness,
} from "./cluster.ts";

/** Mulberry32: small, and good enough to choose faults. */
function seeded(seed: number): Random {
  let state = seed >>> 0;
  const below = (limit: number): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
  return { below, bytes: (length) => Uint8Array.from({ length }, () => below(256)) };
}

class History {
  readonly random: Random;
  readonly witness = new Witness();
  readonly members: Member[] = [];
  readonly counts = { applied: 0, elections: 0, reads: 0, installs: 0, changes: 0, crashes: 0 };
  #wire: Envelope[] = [];
  #cuts = new Set<string>();
  #proposed = 0;
  /** By context: what had been applied anywhere when the read was asked. */
  readonly #asked = new Map<number, number>();
  #lastContext = 0;
  readonly #actions: readonly (readonly [number, (member: Member) => void])[];
  readonly #weightOfAll: number;
  /** How much of the traffic keeps up with the clocks. */
  readonly #liveliness: number;

  constructor(seed: number) {
    this.random = seeded(seed);
    const voters = this.random.below(2) === 0 ? [1, 2, 3] : [1, 2, 3, 4, 5];
    const config = {
      ...defaultConfig,
      electionTicksMin: 3,
      maxHeldBytes: this.random.below(3) * 100,
      releaseStep: 1 + this.random.below(3),
      electionTicksMax: 3 + 1 + this.random.below(6),
      heartbeatTicks: 1,
      maxInflightAppends: 1 + this.random.below(4),
      maxAppendBytes: 4 + this.random.below(60),
      maxUncommittedBytes: 200,
      maxCommittedBytesPerReady: 10 + this.random.below(100),
    };
    for (let name = 1; name <= voters.length + 2; name++) {
      const membership = membershipOf(voters.includes(name) ? voters : []);
      const network = {
        send: (envelope: Envelope) => this.#send(envelope),
        note: (line: string) => {
          if (line.includes("installs")) this.counts.installs++;
        },
      };
      const own = { ...config, id: id(name) };
      const member = new Member(own, this.random, membership, network, this.witness);
      this.members.push(member);
      member.start();
    }
    this.#liveliness = 1 + this.random.below(10);
    this.#actions = this.#chooseActions();
    this.#weightOfAll = this.#actions.reduce((sum, [weight]) => sum + weight, 0);
  }

  chaos(steps: number): void {
    for (let step = 0; step < steps; step++) {
      this.#act();
      if (step % 50 === 0) checkLogMatching(this.members);
    }
  }

  /** Everybody is up, connected and quick: a leader must be found, and all must agree. */
  heal(): void {
    this.#cuts.clear();
    for (const member of this.members) {
      member.slowDisk = false;
      member.finishWrites();
      if (member.raft === undefined) member.start();
    }
    for (let tick = 0; tick < 400; tick++) {
      for (const member of this.members) member.raft?.tick();
      this.#settle();
      if (tick > 100 && tick % 20 === 0 && this.#agree()) return;
    }
    const states = this.members.map((member) => member.raft?.status());
    assert.fail(`no progress after healing: ${JSON.stringify(states)}`);
  }

  #agree(): boolean {
    const leaders = this.members.filter((member) => member.isLeader);
    const leader = leaders.sort((a, b) => b.raft!.status().term - a.raft!.status().term)[0];
    if (leader === undefined) return false;
    const last = `final ${this.#proposed++}`;
    if (leader.raft!.propose([bytes(last)]) !== undefined) return false;
    this.#settle();
    const { voters, outgoing, learners } = leader.raft!.status().membership;
    if (outgoing.length > 0) return false;
    const wanted = JSON.stringify(leader.state);
    if (leader.state.at(-1)?.text !== last) return false;
    checkLogMatching(this.members);
    return [...voters, ...learners].every(
      (name) => JSON.stringify(this.members[name - 1]!.state) === wanted,
    );
  }

  #settle(): void {
    for (let rounds = 0; rounds < 200; rounds++) {
      for (const member of this.members) this.#process(member);
      if (this.#wire.length === 0) return;
      const wire = this.#wire;
      this.#wire = [];
      for (const envelope of wire) this.#deliver(envelope);
    }
  }

  #act(): void {
    const member = this.members[this.random.below(this.members.length)]!;
    let dice = this.random.below(this.#weightOfAll);
    for (const [weight, action] of this.#actions) {
      if (dice < weight) {
        action(member);
        break;
      }
      dice -= weight;
    }
    // Now and then several things happen before Ready is taken.
    if (this.random.below(4) > 0) this.#process(member);
  }

  /** What may happen next, and how often. Every history has its own idea of the rare things. */
  #chooseActions(): readonly (readonly [number, (member: Member) => void])[] {
    const rare = (most: number) => this.random.below(most);
    return [
      [500, () => this.#deliverSome()],
      [60 + rare(140), (member) => member.raft?.tick()],
      [80, (member) => member.finishWrite()],
      [60, (member) => this.#propose(member)],
      [40, (member) => this.#read(member)],
      [rare(12), (member) => this.#crash(member)],
      [20, (member) => this.#restart(member)],
      [rare(30), (member) => this.#slowDown(member)],
      [rare(8), (member) => this.#cut(member)],
      [5, () => this.#cuts.clear()],
      [rare(20), (member) => member.compact()],
      [rare(8), () => this.#loseLeader()],
      [rare(8), (member) => this.#someLeader()?.raft?.transferLeadership(member.id)],
      [rare(20), () => this.#change()],
      [rare(6), (member) => member.raft?.campaign()],
    ];
  }

  #process(member: Member): void {
    member.process();
    for (const { context, index } of member.reads.splice(0)) {
      this.counts.reads++;
      assert.ok(index >= this.#asked.get(context)!, `linearizable read ${context}`);
    }
    member.failedReads.length = 0;
  }

  #send(envelope: Envelope): void {
    const { from, to } = envelope.message;
    const lost = this.#cuts.has(`${from}-${to}`) || this.random.below(40) === 0;
    if (lost || this.#wire.length > 2000) this.#report(envelope, false);
    else this.#wire.push(envelope);
  }

  #deliverSome(): void {
    for (let count = this.random.below(this.#liveliness); count >= 0; count--) this.#deliverOne();
  }

  #deliverOne(): void {
    if (this.#wire.length === 0) return;
    // Mostly nearly in order, sometimes anything.
    const range = this.random.below(5) === 0 ? this.#wire.length : Math.min(4, this.#wire.length);
    const position = this.random.below(range);
    const envelope = this.#wire[position]!;
    if (this.random.below(20) > 0) this.#wire.splice(position, 1);
    this.#deliver(envelope);
    this.#process(this.members[envelope.message.to - 1]!);
  }

  #deliver(envelope: Envelope): void {
    const member = this.members[envelope.message.to - 1]!;
    // Like an installing driver: what Ready says of one snapshot is done before the next arrives.
    if (envelope.content !== undefined) this.#process(member);
    this.#report(envelope, member.raft !== undefined);
    member.receive(envelope);
    if (envelope.content !== undefined) this.#process(member);
  }

  /** A driver hears how its snapshot fared, and sometimes that a message was dropped. */
  #report(envelope: Envelope, ok: boolean): void {
    const { from, to } = envelope.message;
    const sender = this.members[from - 1]?.raft;
    if (envelope.content !== undefined) sender?.snapshotSent(to, ok);
    else if (!ok && this.random.below(2) === 0) sender?.unreachable(to);
  }

  #propose(member: Member): void {
    const count = 1 + this.random.below(3);
    const items = Array.from({ length: count }, () => bytes(`${this.#proposed++}`));
    member.raft?.propose(items);
  }

  #read(member: Member): void {
    const context = ++this.#lastContext;
    this.#asked.set(context, this.witness.lastApplied);
    member.raft?.readIndex(context);
  }

  #crash(someone: Member): void {
    const member = this.random.below(2) === 0 ? (this.#someLeader() ?? someone) : someone;
    if (member.raft === undefined) return;
    this.counts.crashes++;
    member.crash();
    for (const other of this.members) {
      if (this.random.below(2) === 0) other.raft?.linkLost(member.id);
    }
    // Sometimes it is back before anybody notices.
    if (this.random.below(4) === 0) this.#restart(member);
  }

  #restart(member: Member): void {
    if (member.raft === undefined) member.start(this.random.below(member.durablyApplied + 1));
  }

  #slowDown(member: Member): void {
    member.slowDisk = !member.slowDisk;
  }

  #cut(member: Member): void {
    const oneWay = this.random.below(3) === 0;
    for (const other of this.members) {
      if (this.random.below(4) === 0) continue;
      this.#cuts.add(`${member.id}-${other.id}`);
      if (!oneWay) this.#cuts.add(`${other.id}-${member.id}`);
    }
  }

  /** Many lose their links to the leader, which may live on and not know it. */
  #loseLeader(): void {
    const leader = this.#someLeader();
    if (leader === undefined) return;
    for (const member of this.members) {
      if (this.random.below(4) > 0) member.raft?.linkLost(leader.id);
    }
    if (this.random.below(2) === 0) this.#cut(leader);
  }

  #someLeader(): Member | undefined {
    return this.members.find((member) => member.isLeader);
  }

  #change(): void {
    const raft = this.#someLeader()?.raft;
    if (raft === undefined) return;
    const current = raft.status().membership;
    const next = this.random.below(2) === 0 ? this.#oneStep(current) : this.#joint(current);
    const refusal = raft.proposeMembership({ membership: next, data: codec.encode(next) });
    assert.ok(refusal !== "invalid" || current.outgoing.length > 0 || next.voters.length === 0);
    if (refusal === undefined) this.counts.changes++;
  }

  #oneStep(current: Membership): Membership {
    const chosen = id(1 + this.random.below(this.members.length));
    const others = current.voters.filter((voter) => voter !== chosen);
    const learners = current.learners.filter((learner) => learner !== chosen);
    if (current.voters.includes(chosen)) {
      return membershipOf(others, {
        learners: this.random.below(2) > 0 ? [...learners, chosen] : learners,
      });
    }
    if (current.learners.includes(chosen)) return membershipOf([...others, chosen], { learners });
    return membershipOf(others, { learners: [...learners, chosen] });
  }

  #joint(current: Membership): Membership {
    const all = this.members.map((member) => member.id);
    const voters = all.filter(() => this.random.below(2) === 0);
    const rest = all.filter((name) => !voters.includes(name) && this.random.below(3) === 0);
    if (voters.length === 0) voters.push(id(1));
    return joinMemberships(current, { voters, learners: rest.filter((n) => !voters.includes(n)) });
  }
}

test("safety under faults, progress after them", () => {
  const only = process.env["SEED"];
  const first = only === undefined ? 1 : Number(only);
  const count = only === undefined ? Number(process.env["SEEDS"] ?? 200) : 1;
  const totals = { applied: 0, elections: 0, reads: 0, installs: 0, changes: 0, crashes: 0 };
  for (let seed = first; seed < first + count; seed++) {
    try {
      const history = new History(seed);
      history.chaos(3000);
      history.counts.applied = history.witness.lastApplied;
      history.counts.elections = history.witness.leaders.size;
      history.heal();
      for (const key of Object.keys(totals) as (keyof typeof totals)[]) {
        totals[key] += history.counts[key];
      }
    } catch (cause) {
      throw new Error(`replay with SEED=${seed}: ${(cause as Error).message}`, { cause });
    }
  }
  if (process.env["SEEDS"] !== undefined) console.log(totals);
  // The faults were not so bad that nothing happened at all.
  if (count >= 100) for (const total of Object.values(totals)) assert.ok(total > count / 2);
});

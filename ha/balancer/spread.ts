/**
 * Long streams stay where they were begun, so a master that comes back would get none until others
 * end. When the set of masters that take calls changes, the surplus of the busy ones is moved: the
 * stream is ended between two messages, in the way that makes its client begin it again where it
 * was (`Method.resumed`), a watch at the next revision, a heartbeat with the next beat. A stream
 * that its client does not begin again, an exec or a snapshot, is left to end where it is. A GOAWAY
 * would not do: it moves no stream that has begun.
 */
import type { Log } from "../runtime/types.ts";
import type { CallContext } from "./call-context.ts";
import { isHealthy, type Master, silentMillisOf } from "./master.ts";
import { moveWithin } from "./moves.ts";
import { StreamCall } from "./stream-call.ts";

/** Rounds in which the moved ones are waited for before more are moved. */
const patienceRounds = 3;
/** Rounds without anything to do after which a change is over. */
const calmRounds = 3;
/**
 * While no master comes or goes, a difference is left alone up to this, or this share of the mean.
 */
const toleratedStreams = 8;
const toleratedShare = 0.25;

/**
 * How many streams each of these masters has to give up, so that by moving them one after the other
 * to where there are fewest no two differ by more than one.
 */
export function surplus(streams: readonly number[]): readonly number[] {
  const total = streams.reduce((sum, count) => sum + count, 0);
  const floor = Math.floor(total / streams.length);
  // So many masters may keep one more: those that have the most.
  let larger = total - floor * streams.length;
  const byLoad = streams
    .map((count, place) => ({ count, place }))
    .sort((a, b) => b.count - a.count);
  const given = new Array<number>(streams.length).fill(0);
  for (const { count, place } of byLoad) {
    const kept = larger > 0 ? floor + 1 : floor;
    if (larger > 0) larger--;
    given[place] = Math.max(0, count - kept);
  }
  return given;
}

export class StreamSpread {
  readonly #context: CallContext;
  readonly #log: Log;
  readonly #timer: NodeJS.Timeout;
  readonly #stoppedTimer: NodeJS.Timeout;
  /** Names of the healthy masters at the last look. */
  #healthy = "";
  /** Since masters came or went, so many rounds had nothing to do. */
  #calm = calmRounds;
  /** Moved streams that have not been begun anew, and for how many rounds they are waited for. */
  #expected = 0;
  #patience = 0;
  #placedBefore = 0;

  constructor(context: CallContext) {
    this.#context = context;
    this.#log = context.log;
    const { spreadMillis, stoppedMillis } = context.limits;
    this.#timer = setInterval(() => this.#round(), spreadMillis).unref();
    this.#stoppedTimer = setInterval(() => this.#leaveStopped(), stoppedMillis).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    clearInterval(this.#stoppedTimer);
  }

  /** The streams of masters that have been silent for too long: their clients wait in vain. */
  #leaveStopped(): void {
    const { fleet, limits } = this.#context;
    const leaving = new Map<Master, number>();
    for (const master of fleet.masters) {
      const stopped = master.suspected && silentMillisOf(master) >= limits.suspectStreamMillis;
      if (stopped && master.streams > 0) leaving.set(master, master.streams);
    }
    const healthy = fleet.takers.filter(({ suspected }) => !suspected);
    if (leaving.size === 0 || healthy.length === 0) return;
    this.#moveSome(leaving, healthy, 0);
  }

  #round(): void {
    const { fleet } = this.#context;
    // One that is left out as an outlier keeps its streams, and gets no more.
    const healthy = fleet.takers.filter(({ suspected }) => !suspected);
    const names = healthy.map(({ name }) => name).join(" ");
    if (names !== this.#healthy) {
      this.#healthy = names;
      this.#calm = 0;
    }
    this.#expected -= fleet.streamsPlaced - this.#placedBefore;
    this.#placedBefore = fleet.streamsPlaced;
    if (this.#expected > 0 && this.#patience-- > 0) return;
    this.#expected = 0;
    if (healthy.length === 0) return;
    const counts = healthy.map(({ streams }) => streams);
    const total = counts.reduce((sum, count) => sum + count, 0);
    const leaving = new Map<Master, number>();
    for (const master of fleet.masters) {
      // It takes no new calls, and is still there: it drains.
      const drains = !isHealthy(master) && master.upstream.connected && master.streams > 0;
      if (drains && master.status !== undefined) leaving.set(master, master.streams);
    }
    for (const master of fleet.departed) {
      if (master.streams > 0) leaving.set(master, master.streams);
    }
    const difference = Math.max(...counts) - Math.min(...counts);
    const tolerated = Math.max(toleratedStreams, (total / healthy.length) * toleratedShare);
    if (difference > (this.#calm < calmRounds ? 1 : tolerated)) {
      for (const [at, count] of surplus(counts).entries()) {
        if (count > 0) leaving.set(healthy[at] as Master, count);
      }
    }
    const millis = this.#context.limits.spreadMillis / 4;
    const moved = leaving.size > 0 ? this.#moveSome(leaving, healthy, millis) : 0;
    if (moved === 0 && this.#calm < calmRounds) this.#calm++;
  }

  /** Moves as many as the others can begin in one round, within so long; answers how many. */
  #moveSome(leaving: Map<Master, number>, healthy: readonly Master[], millis: number): number {
    const { counters, limits } = this.#context;
    let total = 0;
    for (const { streams } of healthy) total += streams;
    const most = Math.max(limits.movesMin, Math.ceil((total * limits.movesPercent) / 100));
    const calls = this.#chosen(leaving, most);
    const moved = calls.length;
    if (moved === 0) return 0;
    moveWithin(millis, calls);
    this.#calm = 0;
    this.#expected += moved;
    this.#patience = patienceRounds;
    counters.moves += moved;
    const names = healthy.map(({ name }) => name).join(" ");
    this.#log.info("streams are moved to other masters", { moved, healthy: names });
    return moved;
  }

  #chosen(leaving: Map<Master, number>, most: number): StreamCall[] {
    const chosen: StreamCall[] = [];
    for (const call of this.#context.active.all()) {
      if (chosen.length >= most || leaving.size === 0) break;
      if (!(call instanceof StreamCall) || !call.movable) continue;
      const left = call.master === undefined ? undefined : leaving.get(call.master);
      if (left === undefined || call.master === undefined) continue;
      if (left === 1) leaving.delete(call.master);
      else leaving.set(call.master, left - 1);
      chosen.push(call);
    }
    return chosen;
  }
}

import type { Node } from "../../../proto/gen/core.ts";
import type { NodeLiveness } from "../../../proto/gen/node.ts";
import type { LoopClock } from "../../client/mod.ts";

interface Seen {
  beat: string;
  /** The Ready condition as the node last reported it. */
  ready: string;
  atMillis: number;
}

/**
 * When each node was last heard of, on this process's own clock: what counts is when the reported
 * time was seen to change, never what it says. A node seen for the first time has just been heard
 * of, so a controller that has just started gives every node its full grace. So does one that has
 * heard of no node at all for a while: then nothing could be heard, because no apiserver took
 * heartbeats, and the silence says nothing about the nodes.
 */
export class LivenessTracker {
  readonly #clock: LoopClock;
  readonly #seen = new Map<string, Seen>();
  readonly #gapMillis: number;
  #heardMillis: number;

  /** `gapMillis`: from so long a silence of all nodes on, all of them begin anew. */
  constructor(clock: LoopClock, gapMillis = Number.POSITIVE_INFINITY) {
    this.#clock = clock;
    this.#gapMillis = gapMillis;
    this.#heardMillis = clock.monotonicMillis();
  }

  /** Answers the nodes that were heard of anew. */
  noteLiveness(liveness: NodeLiveness): string[] {
    const heard: string[] = [];
    for (const [name, { lastHeartbeatTime }] of Object.entries(liveness.nodes ?? {})) {
      if (lastHeartbeatTime && this.#note(name, lastHeartbeatTime)) heard.push(name);
    }
    return heard;
  }

  /**
   * A changed Ready condition is a sign of life too: it may arrive before the liveness that belongs
   * to it. The controller's own verdict is none.
   */
  noteNode(node: Node): void {
    const name = node.metadata?.name ?? "";
    const condition = node.status?.conditions?.find(({ type }) => type === "Ready");
    if (condition?.status === "Unknown") {
      const seen = this.#seen.get(name);
      if (seen) seen.ready = "";
      else this.#note(name, "");
      return;
    }
    const ready = JSON.stringify([condition?.status, condition?.reason, condition?.message]);
    this.#note(name, condition?.lastHeartbeatTime ?? "");
    const seen = this.#seen.get(name);
    if (!seen || seen.ready === ready) return;
    seen.ready = ready;
    seen.atMillis = this.#clock.monotonicMillis();
  }

  forget(name: string): void {
    this.#seen.delete(name);
  }

  silentMillis(name: string): number {
    const now = this.#clock.monotonicMillis();
    const seen = this.#seen.get(name);
    if (!seen) {
      this.#seen.set(name, { beat: "", ready: "", atMillis: now });
      return 0;
    }
    return now - seen.atMillis;
  }

  #heard(seen: Seen): void {
    const now = this.#clock.monotonicMillis();
    if (now - this.#heardMillis > this.#gapMillis && this.#seen.size > 1) {
      for (const each of this.#seen.values()) each.atMillis = now;
    }
    this.#heardMillis = now;
    seen.atMillis = now;
  }

  #note(name: string, beat: string): boolean {
    const seen = this.#seen.get(name);
    const time = Date.parse(beat);
    if (!seen) {
      this.#seen.set(name, { beat, ready: "", atMillis: this.#clock.monotonicMillis() });
      return true;
    }
    // Several apiservers report; an older report of one says nothing about now.
    if (beat === "" || (seen.beat !== "" && !(time > Date.parse(seen.beat)))) return false;
    seen.beat = beat;
    this.#heard(seen);
    return true;
  }
}

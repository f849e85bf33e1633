import type { Node } from "../../../proto/gen/core.ts";
import type { NodeLiveness } from "../../../proto/gen/node.ts";
import type { LoopClock } from "../../client/mod.ts";

interface Seen {
  beat: string;
  atMillis: number;
}

/**
 * When each node was last heard of, on this process's own clock: what counts is when the reported
 * time was seen to change, never what it says. A node seen for the first time has just been heard
 * of, so a controller that has just started gives every node its full grace.
 */
export class LivenessTracker {
  readonly #clock: LoopClock;
  readonly #seen = new Map<string, Seen>();

  constructor(clock: LoopClock) {
    this.#clock = clock;
  }

  /** Answers the nodes that were heard of anew. */
  noteLiveness(liveness: NodeLiveness): string[] {
    const heard: string[] = [];
    for (const [name, { lastHeartbeatTime }] of Object.entries(liveness.nodes ?? {})) {
      if (lastHeartbeatTime && this.#note(name, lastHeartbeatTime)) heard.push(name);
    }
    return heard;
  }

  noteNode(node: Node): void {
    const ready = node.status?.conditions?.find(({ type }) => type === "Ready");
    // The controller's own verdict is no sign of life.
    const beat = ready?.reason === "NodeStatusUnknown" ? "" : (ready?.lastHeartbeatTime ?? "");
    this.#note(node.metadata?.name ?? "", beat);
  }

  forget(name: string): void {
    this.#seen.delete(name);
  }

  silentMillis(name: string): number {
    const now = this.#clock.monotonicMillis();
    const seen = this.#seen.get(name);
    if (!seen) {
      this.#seen.set(name, { beat: "", atMillis: now });
      return 0;
    }
    return now - seen.atMillis;
  }

  #note(name: string, beat: string): boolean {
    const seen = this.#seen.get(name);
    const time = Date.parse(beat);
    if (!seen) {
      this.#seen.set(name, { beat, atMillis: this.#clock.monotonicMillis() });
      return true;
    }
    // Several apiservers report; an older report of one says nothing about now.
    if (beat === "" || (seen.beat !== "" && !(time > Date.parse(seen.beat)))) return false;
    seen.beat = beat;
    seen.atMillis = this.#clock.monotonicMillis();
    return true;
  }
}

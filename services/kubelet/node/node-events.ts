/** Events about the node itself, with upstream's reasons (`pkg/kubelet/events`). */
import type { NodeCondition } from "../../../proto/gen/core.ts";
import type { EventRecorder } from "../../client/mod.ts";

/** By type of condition: the reasons of True and of anything else. */
const reasons: Readonly<Record<string, readonly [string, string]>> = {
  MemoryPressure: ["NodeHasInsufficientMemory", "NodeHasSufficientMemory"],
  DiskPressure: ["NodeHasDiskPressure", "NodeHasNoDiskPressure"],
  PIDPressure: ["NodeHasInsufficientPID", "NodeHasSufficientPID"],
  Ready: ["NodeReady", "NodeNotReady"],
};

export class NodeEvents {
  readonly #events: Pick<EventRecorder, "event">;
  readonly #nodeName: string;
  readonly #told = new Map<string, string>();

  constructor(events: Pick<EventRecorder, "event">, nodeName: string) {
    this.#events = events;
    this.#nodeName = nodeName;
  }

  tell(type: "Normal" | "Warning", reason: string, message: string): void {
    const name = this.#nodeName;
    // As upstream's, so that kubectl finds them: the uid is the name.
    const node = { apiVersion: "v1", kind: "Node", metadata: { name, uid: name } };
    this.#events.event(node, type, reason, message);
  }

  /** Tells each condition once, and then each change of it. */
  conditions(conditions: readonly NodeCondition[]): void {
    for (const { type = "", status = "" } of conditions) {
      const named = reasons[type];
      if (named === undefined || this.#told.get(type) === status) continue;
      this.#told.set(type, status);
      const reason = status === "True" ? named[0] : named[1];
      this.tell("Normal", reason, `Node ${this.#nodeName} status is now: ${reason}`);
    }
  }
}

/** What goes to the peers: gathered during a turn, one frame per peer at its end. */
import type { Message } from "../raft/mod.ts";
import type { MemberId, PeerNetwork } from "../runtime/types.ts";
import { encodeFrame, newOutgoing, type Outgoing } from "./frames.ts";

export class Outbox {
  readonly #network: PeerNetwork;
  /** Goes with every frame; 0 while this member does not know yet. */
  cluster: number;
  readonly #outgoing = new Map<MemberId, Outgoing>();

  constructor(network: PeerNetwork, cluster: number) {
    this.#network = network;
    this.cluster = cluster;
  }

  to(peer: MemberId): Outgoing {
    let outgoing = this.#outgoing.get(peer);
    if (!outgoing) {
      outgoing = newOutgoing();
      this.#outgoing.set(peer, outgoing);
    }
    return outgoing;
  }

  message(message: Message): void {
    this.to(message.to).messages.push(message);
  }

  /** Sends everything; returns the peers that could not be reached. */
  flush(): readonly MemberId[] {
    if (this.#outgoing.size === 0) return [];
    const unreached: MemberId[] = [];
    for (const [peer, outgoing] of this.#outgoing) {
      if (!this.#network.send(peer, encodeFrame(this.cluster, outgoing))) unreached.push(peer);
    }
    this.#outgoing.clear();
    return unreached;
  }
}

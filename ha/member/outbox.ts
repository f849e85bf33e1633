/**
 * Gathers during a turn what the member sends its peers; at the end of the turn each peer gets one
 * frame. News that no caller waits for is held until another frame goes to the peer, or until the
 * limit `newsHeldMillis` has passed.
 */
import { type Message, MessageType } from "../raft/mod.ts";
import type { MemberId, PeerNetwork } from "../runtime/types.ts";
import { encodeFrame, newOutgoing, type Outgoing } from "./frames.ts";

interface Box {
  /** The frame of this turn; undefined: empty so far. */
  outgoing: Outgoing | undefined;
  held: Message | undefined;
}

export class Outbox {
  readonly #network: PeerNetwork;
  /** The cluster id in every frame; 0 while this member knows none yet. */
  cluster: number;
  /** One box for each peer to which this member has ever written. */
  readonly #boxes = new Map<MemberId, Box>();

  constructor(network: PeerNetwork, cluster: number) {
    this.#network = network;
    this.cluster = cluster;
  }

  to(peer: MemberId): Outgoing {
    const box = this.#boxOf(peer);
    box.outgoing ??= newOutgoing();
    return box.outgoing;
  }

  message(message: Message): void {
    // An append contains the commit index of the held news.
    if (message.type === MessageType.append) this.#boxOf(message.to).held = undefined;
    this.to(message.to).messages.push(message);
  }

  /** Sends the news with the next frame to its peer. Newer news replaces older. */
  hold(news: Message): void {
    this.#boxOf(news.to).held = news;
  }

  get holds(): boolean {
    for (const { held } of this.#boxes.values()) if (held !== undefined) return true;
    return false;
  }

  /** Has the next flush send all held news. */
  release(): void {
    for (const [peer, { held }] of this.#boxes) if (held !== undefined) this.to(peer);
  }

  /** Sends everything; returns the peers that could not be reached. */
  flush(): readonly MemberId[] {
    const unreached: MemberId[] = [];
    for (const [peer, box] of this.#boxes) {
      const { outgoing, held } = box;
      if (outgoing === undefined) continue;
      if (held !== undefined) outgoing.messages.push(held);
      box.outgoing = undefined;
      box.held = undefined;
      if (!this.#network.send(peer, encodeFrame(this.cluster, outgoing))) unreached.push(peer);
    }
    return unreached;
  }

  #boxOf(peer: MemberId): Box {
    let box = this.#boxes.get(peer);
    if (box === undefined) {
      box = { outgoing: undefined, held: undefined };
      this.#boxes.set(peer, box);
    }
    return box;
  }
}

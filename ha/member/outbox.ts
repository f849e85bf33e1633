/**
 * What goes to the peers: gathered during a turn, one frame per peer at its end. News that nobody
 * waits for is held until something else goes there, or its time has come.
 */
import { type Message, MessageType } from "../raft/mod.ts";
import type { MemberId, PeerNetwork } from "../runtime/types.ts";
import { encodeFrame, newOutgoing, type Outgoing } from "./frames.ts";

export class Outbox {
  readonly #network: PeerNetwork;
  /** Goes with every frame; 0 while this member does not know yet. */
  cluster: number;
  readonly #outgoing = new Map<MemberId, Outgoing>();
  readonly #held = new Map<MemberId, Message>();

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
    // An append says what the news says, and more.
    if (message.type === MessageType.append) this.#held.delete(message.to);
    this.to(message.to).messages.push(message);
  }

  /** Goes along with whatever goes there next; the newest is enough. */
  hold(news: Message): void {
    this.#held.set(news.to, news);
  }

  get holds(): boolean {
    return this.#held.size > 0;
  }

  /** What is held is held no longer. */
  release(): void {
    for (const news of this.#held.values()) this.to(news.to).messages.push(news);
    this.#held.clear();
  }

  /** Sends everything; returns the peers that could not be reached. */
  flush(): readonly MemberId[] {
    if (this.#outgoing.size === 0) return [];
    const unreached: MemberId[] = [];
    for (const [peer, outgoing] of this.#outgoing) {
      const news = this.#held.get(peer);
      if (news !== undefined) outgoing.messages.push(news);
      this.#held.delete(peer);
      if (!this.#network.send(peer, encodeFrame(this.cluster, outgoing))) unreached.push(peer);
    }
    this.#outgoing.clear();
    return unreached;
  }
}

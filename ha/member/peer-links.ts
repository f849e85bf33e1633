/**
 * The links to the peers, from the opening of a member to its close: which peers are linked, and
 * which part of the member handles their messages. A member without data hears its peers first as a
 * founder or a joiner (`founding.ts`), and as a member of the cluster after that.
 */
import type { MemberId, Peer, PeerHandlers, PeerNetwork } from "../runtime/types.ts";

export class PeerLinks {
  readonly #network: PeerNetwork;
  readonly #linked = new Set<MemberId>();
  #handlers: PeerHandlers | undefined;
  #started: Promise<void> | undefined;

  constructor(network: PeerNetwork) {
    this.#network = network;
  }

  /** In the order in which the links came up. */
  get linked(): readonly MemberId[] {
    return [...this.#linked];
  }

  isLinked(peer: MemberId): boolean {
    return this.#linked.has(peer);
  }

  setPeers(peers: readonly Peer[]): void {
    this.#network.setPeers(peers);
  }

  /** From now on these handlers get all events; undefined: messages are dropped. */
  handOver(handlers: PeerHandlers | undefined): void {
    this.#handlers = handlers;
  }

  /** Listens and dials, once. Rejects when the address cannot be bound. */
  start(): Promise<void> {
    this.#started ??= this.#network.start({
      message: (from, bytes) => this.#handlers?.message(from, bytes),
      introduction: async (stranger) =>
        (await this.#handlers?.introduction?.(stranger)) ?? {
          refusal: "etcdserver: this member is starting: try again",
        },
      link: (peer, up) => {
        if (up) this.#linked.add(peer);
        else if (!this.#linked.delete(peer)) return;
        this.#handlers?.link(peer, up);
      },
    });
    return this.#started;
  }

  close(): Promise<void> {
    return this.#network.close();
  }
}

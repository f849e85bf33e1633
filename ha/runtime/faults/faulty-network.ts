/**
 * A peer network whose messages can be lost or delayed, one direction at a time. As with packets
 * that a switch swallows, both ends believe at first that their link stands: only after a silence
 * is it reported down, and it comes up again when messages pass.
 */
import type { Cancel, Clock, MemberId, Peer, PeerHandlers, PeerNetwork, Random } from "../types.ts";
import type { PeerFault } from "./settings.ts";
import type { FaultSwitchboard } from "./switchboard.ts";

/** As long as a link of `peer-link.ts` lasts on which nothing is heard. */
const silenceMillis = 2_000;
/** Messages that are held back at a time; beyond, they are lost. */
const delayedMax = 10_000;

interface Parts {
  readonly clock: Clock;
  readonly random: Random;
  readonly faults: FaultSwitchboard;
}

export class FaultyNetwork implements PeerNetwork {
  readonly #network: PeerNetwork;
  readonly #parts: Parts;
  readonly #names = new Map<MemberId, string>();
  /** Links as the network has them, and those that a silence has taken down. */
  readonly #up = new Set<MemberId>();
  readonly #silenced = new Set<MemberId>();
  readonly #silences = new Map<MemberId, Cancel>();
  #handlers: PeerHandlers | undefined;
  #delayed = 0;
  #undo: Cancel = () => {};

  constructor(network: PeerNetwork, parts: Parts) {
    this.#network = network;
    this.#parts = parts;
  }

  start(handlers: PeerHandlers): Promise<void> {
    this.#handlers = handlers;
    this.#undo = this.#parts.faults.onChange(() => this.#changed());
    return this.#network.start({
      ...handlers,
      message: (from, bytes) => this.#arrived(from, bytes),
      link: (peer, up) => this.#linked(peer, up),
    });
  }

  setPeers(peers: readonly Peer[]): void {
    for (const { id, name } of peers) this.#names.set(id, name);
    this.#network.setPeers(peers);
  }

  send(to: MemberId, message: Uint8Array): boolean {
    if (this.#silenced.has(to)) return false;
    const fault = this.#faultOf(to);
    // The sender cannot tell that its message does not arrive.
    if (fault && (fault.dropSent || this.#chance(fault))) return true;
    return this.#network.send(to, message);
  }

  close(): Promise<void> {
    this.#undo();
    for (const cancel of this.#silences.values()) cancel();
    return this.#network.close();
  }

  #arrived(from: MemberId, bytes: Uint8Array): void {
    const fault = this.#faultOf(from);
    if (fault && (fault.dropReceived || this.#chance(fault))) return;
    if (!fault?.delayMillis) {
      this.#handlers?.message(from, bytes);
      return;
    }
    if (this.#delayed >= delayedMax) return;
    this.#delayed++;
    this.#parts.clock.after(fault.delayMillis, () => {
      this.#delayed--;
      this.#handlers?.message(from, bytes);
    });
  }

  #linked(peer: MemberId, up: boolean): void {
    if (up) this.#up.add(peer);
    else this.#up.delete(peer);
    // It was reported down before, and is not to be told twice.
    if (!this.#silenced.has(peer)) this.#handlers?.link(peer, up);
  }

  /** A peer of which nothing is heard is lost after a while; one that is heard again is back. */
  #changed(): void {
    for (const id of this.#names.keys()) {
      const silent = this.#faultOf(id)?.dropReceived === true;
      if (silent === this.#silences.has(id)) continue;
      if (silent) {
        const lose = () => this.#lose(id);
        this.#silences.set(id, this.#parts.clock.after(silenceMillis, lose));
        continue;
      }
      this.#silences.get(id)?.();
      this.#silences.delete(id);
      if (this.#silenced.delete(id) && this.#up.has(id)) this.#handlers?.link(id, true);
    }
  }

  #lose(peer: MemberId): void {
    if (!this.#up.has(peer)) return;
    this.#silenced.add(peer);
    this.#handlers?.link(peer, false);
  }

  #faultOf(peer: MemberId): PeerFault | undefined {
    return this.#parts.faults.peer(this.#names.get(peer));
  }

  #chance({ dropShare = 0 }: PeerFault): boolean {
    return dropShare > 0 && this.#parts.random.below(1_000_000) < dropShare * 1_000_000;
  }
}

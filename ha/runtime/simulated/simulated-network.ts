import { assert } from "../assert.ts";
import type { Cancel, MemberId, Peer, PeerHandlers, PeerNetwork } from "../types.ts";
import type { Incarnation } from "./event-queue.ts";
import type { LinkOptions, NetworkOptions } from "./network-options.ts";
import { hashBytes, type SeededRandom } from "./seeded-random.ts";

/** What the network needs of its world. Delays in microseconds. */
export interface FabricHost {
  now(): number;
  schedule(
    owner: Incarnation | undefined,
    delay: number,
    kind: string,
    run: () => void,
    content?: number,
  ): Cancel;
}

interface Flight {
  readonly bytes: Uint8Array;
  readonly cancel: Cancel;
}

/**
 * One direction of a link, as its sender sees it.
 *
 * `broken` says that nothing sent on it arrives any more, though its sender may not know yet: `up`
 * stays true until it has noticed.
 */
interface Channel {
  readonly from: Endpoint;
  readonly peer: Peer;
  target: Endpoint | undefined;
  up: boolean;
  broken: boolean;
  removed: boolean;
  dialling: boolean;
  backoff: number;
  cancelRetry: Cancel;
  /** On their way, oldest first. */
  flights: Set<Flight>;
  /** Held up by a partition; TCP would send them again. */
  stalled: Uint8Array[];
  bytesWaiting: number;
  lastArrival: number;
}

/** Every cable of the world, and the hands that pull them. */
export class Fabric {
  readonly host: FabricHost;
  readonly random: SeededRandom;
  readonly options: NetworkOptions;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #blocked = new Set<string>();
  readonly #links = new Map<string, LinkOptions>();

  constructor(host: FabricHost, random: SeededRandom, options: NetworkOptions) {
    this.host = host;
    this.random = random;
    this.options = options;
  }

  /** Lets nothing through from `from` to `to`, silently, as a firewall does. */
  block(from: MemberId, to: MemberId): void {
    if (this.isBlocked(from, to)) return;
    this.#blocked.add(directed(from, to));
    this.#noticeSilence(() => this.isBlocked(from, to), from, to);
  }

  /** Both directions between every member of `left` and every one of `right`. */
  partition(left: readonly MemberId[], right: readonly MemberId[]): void {
    for (const a of left) {
      for (const b of right) {
        this.block(a, b);
        this.block(b, a);
      }
    }
  }

  unblock(from: MemberId, to: MemberId): void {
    if (!this.#blocked.delete(directed(from, to))) return;
    for (const channel of this.#channels()) {
      if (channel.from.member === from && channel.peer.id === to) this.#resume(channel);
    }
  }

  /** Ends every block. */
  heal(): void {
    for (const key of [...this.#blocked]) {
      const [from = 0, to = 0] = key.split(">").map(Number);
      this.unblock(from as MemberId, to as MemberId);
    }
  }

  /** Resets the connections between two members; they dial again. */
  cut(a: MemberId, b: MemberId): void {
    for (const channel of this.#between(a, b)) this.breakChannel(channel, "reset");
  }

  setLink(from: MemberId, to: MemberId, options: LinkOptions): void {
    this.#links.set(directed(from, to), options);
  }

  isBlocked(from: MemberId, to: MemberId): boolean {
    return this.#blocked.has(directed(from, to));
  }

  /** A paused member answers no keep-alive. */
  paused(member: MemberId, owner: Incarnation): void {
    const stillPaused = (): boolean => owner.alive && owner.pausedUntil > this.host.now();
    for (const endpoint of this.#endpoints.values()) {
      if (endpoint.member !== member) this.#noticeSilence(stillPaused, endpoint.member, member);
    }
  }

  /** A member died: `silent` when its host did, so that no connection is closed in its name. */
  crashed(endpoint: Endpoint, silent: boolean): void {
    this.#endpoints.delete(endpoint.identity);
    for (const channel of endpoint.channels.values()) this.#loseFlights(channel);
    for (const channel of this.#channels()) {
      if (channel.target === endpoint) this.breakChannel(channel, silent ? "silence" : "reset");
    }
  }

  attach(endpoint: Endpoint): void {
    this.#endpoints.set(endpoint.identity, endpoint);
  }

  detach(endpoint: Endpoint): void {
    if (this.#endpoints.get(endpoint.identity) === endpoint) {
      this.#endpoints.delete(endpoint.identity);
    }
    for (const channel of this.#channels()) {
      if (channel.target === endpoint) this.breakChannel(channel, "reset");
    }
  }

  latency(from: MemberId, to: MemberId): number {
    return this.random.between(
      ...(this.#links.get(directed(from, to))?.latency ?? this.options.latency),
    );
  }

  /** The member that answers a dial: one that has pinned the dialler and can be reached. */
  answer(channel: Channel): Endpoint | undefined {
    const { from, peer } = channel;
    const target = this.#endpoints.get(peer.identity);
    if (!target?.pinned(from.identity)) return undefined;
    if (target.owner.pausedUntil > this.host.now()) return undefined;
    const unreachable =
      this.isBlocked(from.member, target.member) || this.isBlocked(target.member, from.member);
    return unreachable ? undefined : target;
  }

  transmit(channel: Channel, bytes: Uint8Array): void {
    const { from, peer, target } = channel;
    const drop = this.#links.get(directed(from.member, peer.id))?.drop ?? this.options.drop;
    if (channel.broken || !target || this.random.chance(drop)) return;
    channel.bytesWaiting += bytes.length;
    if (this.isBlocked(from.member, peer.id)) channel.stalled.push(bytes);
    else this.#launch(channel, target, bytes);
  }

  /** From now on nothing arrives; the sender notices after a while, and dials again. */
  breakChannel(channel: Channel, how: "reset" | "silence"): void {
    if (!channel.up || channel.broken) return;
    channel.broken = true;
    this.#loseFlights(channel);
    const { noticeReset, noticeSilence } = this.options;
    const delay = this.random.between(...(how === "reset" ? noticeReset : noticeSilence));
    const kind = `link ${how}`;
    this.host.schedule(channel.from.owner, delay, kind, () => channel.from.lost(channel));
  }

  #launch(channel: Channel, target: Endpoint, bytes: Uint8Array): void {
    const now = this.host.now();
    const arrival = now + this.latency(channel.from.member, channel.peer.id);
    channel.lastArrival = Math.max(channel.lastArrival, arrival);
    const { flights } = channel;
    const deliver = (): void => {
      // A flight of an earlier link does not count for the present one.
      if (flights.delete(flight) && flights === channel.flights) {
        channel.bytesWaiting -= bytes.length;
      }
      target.receive(channel.from.identity, bytes);
    };
    const delay = channel.lastArrival - now;
    const content = hashBytes(bytes);
    const cancel = this.host.schedule(target.owner, delay, "message", deliver, content);
    const flight = { bytes, cancel };
    flights.add(flight);
  }

  /** A random prefix of what is under way still arrives; rarely all of it, and late. */
  #loseFlights(channel: Channel): void {
    channel.stalled = [];
    if (this.random.chance(this.options.lateArrival)) return;
    const flights = [...channel.flights];
    for (const flight of flights.slice(this.random.below(flights.length + 1))) {
      flight.cancel();
      channel.flights.delete(flight);
    }
  }

  #resume(channel: Channel): void {
    const { target } = channel;
    const stalled = channel.stalled;
    channel.stalled = [];
    if (target) for (const bytes of stalled) this.#launch(channel, target, bytes);
  }

  /** Unless `silent` ends before the keep-alive runs out, both directions break. */
  #noticeSilence(silent: () => boolean, a: MemberId, b: MemberId): void {
    const channels = this.#between(a, b).filter(({ up, broken }) => up && !broken);
    if (channels.length === 0) return;
    const delay = this.random.between(...this.options.noticeSilence);
    this.host.schedule(undefined, delay, "silence", () => {
      if (!silent()) return;
      for (const channel of channels) this.breakChannel(channel, "reset");
    });
  }

  #between(a: MemberId, b: MemberId): Channel[] {
    return this.#channels().filter(({ from: { member }, peer: { id } }) => {
      return (member === a && id === b) || (member === b && id === a);
    });
  }

  #channels(): Channel[] {
    return [...this.#endpoints.values()].flatMap(({ channels }) => [...channels.values()]);
  }
}

function directed(from: MemberId, to: MemberId): string {
  return `${from}>${to}`;
}

/** {@link PeerNetwork} of one life of a member. */
export class Endpoint implements PeerNetwork {
  readonly member: MemberId;
  readonly identity: string;
  readonly owner: Incarnation;
  readonly channels = new Map<MemberId, Channel>();
  readonly #fabric: Fabric;
  #handlers: PeerHandlers | undefined;
  #closing: Promise<void> | undefined;

  constructor(member: MemberId, identity: string, owner: Incarnation, fabric: Fabric) {
    this.member = member;
    this.identity = identity;
    this.owner = owner;
    this.#fabric = fabric;
  }

  start(handlers: PeerHandlers): Promise<void> {
    assert(!this.#handlers, "the peer network was started twice");
    assert(!this.#closing, "the peer network has been closed");
    this.#handlers = handlers;
    this.#fabric.attach(this);
    for (const channel of this.channels.values()) this.#dial(channel);
    return Promise.resolve();
  }

  setPeers(peers: readonly Peer[]): void {
    if (this.#closing) return;
    const wanted = new Map(peers.map((peer) => [peer.id, peer]));
    for (const [id, channel] of this.channels) {
      if (wanted.get(id)?.identity === channel.peer.identity) wanted.delete(id);
      else this.#remove(channel);
    }
    for (const peer of wanted.values()) {
      if (peer.identity === this.identity) continue;
      const channel = newChannel(this, peer, this.#fabric.options.backoffMicrosMin);
      this.channels.set(peer.id, channel);
      if (this.#handlers) this.#dial(channel);
    }
  }

  send(to: MemberId, message: Uint8Array): boolean {
    const channel = this.channels.get(to);
    const { messageBytesMax, queueBytesMax } = this.#fabric.options;
    if (!channel?.up || message.length > messageBytesMax) return false;
    if (channel.bytesWaiting + message.length > queueBytesMax) return false;
    this.#fabric.transmit(channel, message.slice());
    return true;
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      for (const channel of [...this.channels.values()]) this.#remove(channel);
      this.#fabric.detach(this);
      this.#fabric.host.schedule(this.owner, 0, "network closed", resolve);
    });
    return this.#closing;
  }

  pinned(identity: string): boolean {
    return this.#peerOf(identity) !== undefined;
  }

  receive(identity: string, bytes: Uint8Array): void {
    const peer = this.#peerOf(identity);
    if (peer && !this.#closing) this.#handlers?.message(peer.id, bytes);
  }

  /** The sender of a broken channel notices. */
  lost(channel: Channel): void {
    if (channel.removed || !channel.up) return;
    this.#reset(channel);
    this.#retry(channel);
    this.#handlers?.link(channel.peer.id, false);
  }

  #peerOf(identity: string): Peer | undefined {
    for (const { peer } of this.channels.values()) if (peer.identity === identity) return peer;
    return undefined;
  }

  #dial(channel: Channel): void {
    channel.cancelRetry();
    if (channel.removed || channel.dialling || channel.up) return;
    channel.dialling = true;
    const { member } = this;
    const there = this.#fabric.latency(member, channel.peer.id);
    const roundTrip = there + this.#fabric.latency(channel.peer.id, member);
    this.#fabric.host.schedule(this.owner, 2 * roundTrip, "dialled", () => this.#dialled(channel));
  }

  #dialled(channel: Channel): void {
    channel.dialling = false;
    if (channel.removed) return;
    const target = this.#fabric.answer(channel);
    if (!target) {
      this.#retry(channel);
      return;
    }
    channel.up = true;
    channel.target = target;
    channel.backoff = this.#fabric.options.backoffMicrosMin;
    target.#visitedBy(this.identity);
    this.#handlers?.link(channel.peer.id, true);
  }

  /** A peer that has just come to us can be reached: no need to wait out a backoff. */
  #visitedBy(identity: string): void {
    for (const channel of this.channels.values()) {
      if (channel.peer.identity === identity) this.#dial(channel);
    }
  }

  #retry(channel: Channel): void {
    const { random, options, host } = this.#fabric;
    const delay = random.between(channel.backoff >> 1, channel.backoff);
    channel.backoff = Math.min(channel.backoff * 2, options.backoffMicrosMax);
    channel.cancelRetry = host.schedule(this.owner, delay, "redial", () => this.#dial(channel));
  }

  #remove(channel: Channel): void {
    const wasUp = channel.up;
    const { target } = channel;
    this.channels.delete(channel.peer.id);
    this.#reset(channel);
    channel.removed = true;
    channel.cancelRetry();
    for (const back of target?.channels.values() ?? []) {
      if (back.target === this) this.#fabric.breakChannel(back, "reset");
    }
    if (wasUp) this.#handlers?.link(channel.peer.id, false);
  }

  /** Flights stay as they are: what was sent before may still arrive. */
  #reset(channel: Channel): void {
    channel.up = false;
    channel.broken = false;
    channel.target = undefined;
    channel.stalled = [];
    channel.flights = new Set();
    channel.bytesWaiting = 0;
    channel.lastArrival = 0;
  }
}

function newChannel(from: Endpoint, peer: Peer, backoff: number): Channel {
  return {
    from,
    peer,
    target: undefined,
    up: false,
    broken: false,
    removed: false,
    dialling: false,
    backoff,
    cancelRetry: () => {},
    flights: new Set(),
    stalled: [],
    bytesWaiting: 0,
    lastArrival: 0,
  };
}

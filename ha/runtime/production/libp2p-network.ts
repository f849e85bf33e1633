import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { noise } from "@chainsafe/libp2p-noise";
import { yamux } from "@chainsafe/libp2p-yamux";
import { privateKeyFromRaw } from "@libp2p/crypto/keys";
import { tcp } from "@libp2p/tcp";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p, type Libp2p } from "libp2p";
import { assert } from "../assert.ts";
import type {
  Cancel,
  Clock,
  Log,
  MemberId,
  Peer,
  PeerHandlers,
  PeerNetwork,
  Random,
  Stranger,
} from "../types.ts";
import type { MemberIdentity } from "./identity.ts";
import {
  answerIntroduction,
  type Introduced,
  type IntroductionOptions,
  introduceTo,
  introductionMillisMax,
  introductionProtocol,
} from "./introductions.ts";
import { decodeOffer } from "./lane-offers.ts";
import { isLoopback } from "./loopback.ts";
import type { Connection, PeerStream } from "./peer-channel.ts";
import { Inbound } from "./peer-inbound.ts";
import { LaneServer, openLane } from "./peer-lane.ts";
import {
  defaultPeerLinkLimits,
  PeerLink,
  type PeerLinkHost,
  type PeerLinkLimits,
} from "./peer-link.ts";
import { openPlainLane } from "./plain-lane.ts";

export interface Libp2pNetworkOptions {
  readonly identity: MemberIdentity;
  /** Port 0: any free one; see {@link Libp2pNetwork.address}. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly limits?: Partial<PeerLinkLimits>;
  /** Messages are not encrypted, between members that are all told so; `listen` is on loopback. */
  readonly plaintext?: boolean | undefined;
  /** Absent: this member introduces itself to no other, and answers no stranger. */
  readonly introductions?:
    | (IntroductionOptions & {
        /**
         * Strangers may call at any time; otherwise only while a pinned peer's identity is unknown.
         */
        readonly open: boolean;
      })
    | undefined;
}

const protocol = "/trireme/peer/1";
/** A connection that has not closed in order by then is reset. */
const closeMillisMax = 100;
/** Strangers may try, but not hold many half-open handshakes, nor for long. */
const handshakeLimits = {
  inboundUpgradeTimeout: 3_000,
  maxIncomingPendingConnections: 64,
  /** Connections a second and host: members on one host share an address. */
  inboundConnectionThreshold: 200,
} as const;

/**
 * {@link PeerNetwork} over libp2p: TCP, Noise, Yamux. Each member opens one stream to each peer for
 * what it sends, over whichever connection of the two there is, and asks there for a lane
 * (`peer-lane.ts`), on which its messages then go.
 */
export class Libp2pNetwork implements PeerNetwork {
  readonly #options: Libp2pNetworkOptions;
  readonly #host: PeerLinkHost;
  readonly #links = new Map<MemberId, PeerLink>();
  readonly #byIdentity = new Map<string, Peer>();
  readonly #inbound = new Map<MemberId, Inbound>();
  readonly #lanes: LaneServer;
  #handlers: PeerHandlers | undefined;
  #node: Libp2p | undefined;
  #listening: Promise<void> | undefined;
  /** A pinned peer's identity is to be learnt. */
  #awaitsStranger = false;
  #cancelKeepAlive: Cancel = () => {};
  #closing: Promise<void> | undefined;

  constructor(options: Libp2pNetworkOptions) {
    this.#options = options;
    const { plaintext = false, listen } = options;
    assert(!plaintext || isLoopback(listen.host), `plaintext peers on ${listen.host}`);
    this.#lanes = new LaneServer(options.log, plaintext);
    this.#host = {
      plainLanes: plaintext,
      clock: options.clock,
      random: options.random,
      log: options.log,
      limits: { ...defaultPeerLinkLimits, ...options.limits },
      open: (peer, signal) => this.#open(peer, signal),
      openLane: (connection, offer, plain, signal) => {
        // As in /ip4/127.0.0.1/tcp/…
        const [, , host = ""] = connection.remoteAddr.toString().split("/");
        const open = plain ? openPlainLane : openLane;
        return open(host, decodeOffer(offer), signal);
      },
      abandon: (peer, reason) => {
        for (const connection of this.#connectionsTo(peer.identity)) connection.abort(reason);
      },
      onLink: (peer, up) => this.#handlers?.link(peer.id, up),
    };
  }

  /** Where it listens, as `host:port`; undefined before {@link start}. */
  get address(): string | undefined {
    const port = this.#node
      ?.getMultiaddrs()[0]
      ?.toString()
      .match(/\/tcp\/(\d+)/)?.[1];
    return port && joinAddress(this.#options.listen.host, Number(port));
  }

  async start(handlers: PeerHandlers): Promise<void> {
    assert(!this.#handlers, "the peer network was started twice");
    assert(!this.#closing, "the peer network has been closed");
    this.#handlers = handlers;
    await this.#listen();
    this.#beginKeepAlive();
    for (const link of this.#links.values()) link.dialNow();
  }

  /**
   * Calls the member at `address` (host:port), whatever its identity, before or after {@link
   * start}. Rejects when it cannot be reached, or holds another token.
   */
  async introduce(address: string): Promise<Introduced> {
    const { introductions, identity } = this.#options;
    assert(introductions, "introductions are not configured");
    await this.#listen();
    const node = this.#node;
    assert(node, "the peer network has been closed");
    const signal = AbortSignal.timeout(introductionMillisMax);
    const connection = await node.dial(multiaddr(dialAddress(address)), { signal });
    const answerer = connection.remotePeer.toString();
    try {
      const stream = await connection.newStream(introductionProtocol, { signal });
      return await introduceTo(stream, introductions, { caller: identity.identity, answerer });
    } finally {
      if (!this.#pinned(answerer)) await closeConnection(connection);
    }
  }

  #listen(): Promise<void> {
    this.#listening ??= this.#bind();
    return this.#listening;
  }

  async #bind(): Promise<void> {
    const { host, port } = this.#options.listen;
    try {
      await this.#lanes.start(host);
      const node = await this.#createNode(await listenAddress(host, port));
      await node.handle(protocol, (stream, connection) => this.#accept(stream, connection), {
        maxInboundStreams: 8,
      });
      if (this.#options.introductions) {
        await node.handle(introductionProtocol, (stream, connection) =>
          this.#answerStranger(stream, connection),
        );
      }
      node.addEventListener("connection:open", ({ detail }) => {
        this.#connected(detail.remotePeer.toString());
        this.#endUnlessPinned(detail);
      });
      await node.start();
      this.#node = node;
    } catch (error) {
      throw new Error(`peers cannot connect: ${joinAddress(host, port)} could not be bound`, {
        cause: error,
      });
    }
  }

  #answerStranger(stream: PeerStream, connection: Connection): void {
    const { introductions, identity, log } = this.#options;
    if (!introductions) return;
    const caller = connection.remotePeer.toString();
    const ends = { caller, answerer: identity.identity };
    const answer = async (stranger: Stranger) =>
      (await this.#handlers?.introduction?.(stranger)) ?? {};
    answerIntroduction(stream, introductions, ends, answer).then(
      (stranger) => {
        if (!stranger) log.warn("a caller with another token was refused", { caller });
      },
      (error: unknown) => log.debug("an introduction was broken off", { caller, error }),
    );
  }

  /** Strangers may introduce themselves, and stay no longer than that takes. */
  #endUnlessPinned(connection: Connection): void {
    if (this.#pinned(connection.remotePeer.toString())) return;
    this.#options.clock.after(2 * introductionMillisMax, () => {
      if (this.#pinned(connection.remotePeer.toString())) return;
      connection.abort(new Error("not a pinned peer"));
    });
  }

  get #admitsStrangers(): boolean {
    const { introductions } = this.#options;
    if (introductions === undefined || this.#closing) return false;
    return introductions.open || this.#awaitsStranger;
  }

  setPeers(peers: readonly Peer[]): void {
    if (this.#closing) return;
    this.#awaitsStranger = peers.some(({ identity }) => identity === "");
    const known = peers.filter(({ identity }) => identity !== "");
    const wanted = new Map(known.map((peer) => [peer.id, peer]));
    for (const [id, link] of this.#links) {
      const peer = wanted.get(id);
      if (peer && samePeer(peer, link.peer)) wanted.delete(id);
      else this.#unpin(link);
    }
    for (const peer of wanted.values()) {
      if (peer.identity === this.#options.identity.identity) continue;
      this.#byIdentity.set(peer.identity, peer);
      this.#reportBadAddresses(peer);
      const link = new PeerLink(peer, this.#host);
      this.#links.set(peer.id, link);
      if (this.#node) link.dialNow();
    }
  }

  send(to: MemberId, message: Uint8Array): boolean {
    return this.#links.get(to)?.send(message) ?? false;
  }

  close(): Promise<void> {
    this.#closing ??= this.#finish();
    return this.#closing;
  }

  async #finish(): Promise<void> {
    this.#cancelKeepAlive();
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
    this.#byIdentity.clear();
    // A connection with open streams would wait for the other end to close them.
    for (const inbound of this.#inbound.values()) inbound.abort(new Error("closing"));
    this.#inbound.clear();
    this.#lanes.close();
    const connections = this.#node?.getConnections() ?? [];
    await Promise.all(connections.map((connection) => closeConnection(connection)));
    await this.#node?.stop();
  }

  #beginKeepAlive(): void {
    const { clock, limits } = this.#host;
    let last = clock.monotonicMillis();
    this.#cancelKeepAlive = clock.every(limits.pingInterval, () => {
      const now = clock.monotonicMillis();
      // After a stop of this process the answers may wait in the sockets, not yet read.
      const stalled = now - last > 2 * limits.pingInterval;
      last = now;
      for (const link of this.#links.values()) link.keepAlive(now, stalled);
    });
  }

  #createNode(listen: string): Promise<Libp2p> {
    const { identity } = this.#options;
    const denies = (peer: { toString(): string }): boolean =>
      !this.#pinned(peer.toString()) && !this.#admitsStrangers;
    return createLibp2p({
      privateKey: privateKeyFromRaw(identity.privateKey),
      addresses: { listen: [listen] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      connectionGater: {
        denyDialPeer: denies,
        denyInboundEncryptedConnection: denies,
        denyOutboundEncryptedConnection: denies,
      },
      // Our own pings tell a dead link sooner; and addresses are tried in the order given.
      connectionMonitor: { enabled: false },
      connectionManager: { ...handshakeLimits, addressSorter: () => 0 },
      start: false,
    });
  }

  #pinned(identity: string): boolean {
    return !this.#closing && this.#byIdentity.has(identity);
  }

  #connectionsTo(identity: string): Connection[] {
    const all = this.#node?.getConnections() ?? [];
    return all.filter((connection) => connection.remotePeer.toString() === identity);
  }

  /** A peer that has just come to us can be reached: no need to wait out a backoff. */
  #connected(identity: string): void {
    const peer = this.#byIdentity.get(identity);
    if (peer) this.#links.get(peer.id)?.dialNow();
  }

  async #open(
    peer: Peer,
    signal: AbortSignal,
  ): Promise<{ connection: Connection; stream: PeerStream }> {
    const node = this.#node;
    assert(node, "dialled before the start");
    const targets = peer.addresses.map((address) => multiaddr(dialAddress(address, peer.identity)));
    const existing = this.#connectionsTo(peer.identity).find(({ status }) => status === "open");
    const connection = existing ?? (await node.dial(targets, { signal }));
    const stream = await connection.newStream(protocol, { signal });
    return { connection, stream };
  }

  #accept(stream: PeerStream, connection: Connection): void {
    const identity = connection.remotePeer.toString();
    const peer = this.#byIdentity.get(identity);
    if (!peer || this.#closing) {
      stream.abort(new Error("not a pinned peer"));
      return;
    }
    const inbound = new Inbound(stream, this.#lanes, {
      message: (payload) => {
        if (this.#inbound.get(peer.id) !== inbound || this.#closing) return;
        this.#handlers?.message(peer.id, payload);
      },
      closed: () => {
        if (this.#inbound.get(peer.id) === inbound) this.#inbound.delete(peer.id);
      },
    });
    // A new stream means that the peer gave up the old one: nothing more of that may be delivered.
    const previous = this.#inbound.get(peer.id);
    this.#inbound.set(peer.id, inbound);
    previous?.abort(new Error("replaced by a new stream"));
    this.#connected(identity);
  }

  /** A mistake in the membership must be seen, but is no reason to end this member. */
  #reportBadAddresses(peer: Peer): void {
    for (const address of peer.addresses) {
      try {
        multiaddr(dialAddress(address, peer.identity));
      } catch (error) {
        this.#options.log.error("peer cannot be dialled", { peer: peer.name, address, error });
      }
    }
  }

  #unpin(link: PeerLink): void {
    const { peer } = link;
    const reason = new Error(`${peer.name} is no longer a peer`);
    this.#links.delete(peer.id);
    this.#byIdentity.delete(peer.identity);
    link.close();
    this.#inbound.get(peer.id)?.abort(reason);
    this.#inbound.delete(peer.id);
    for (const connection of this.#connectionsTo(peer.identity)) connection.abort(reason);
  }
}

/** In order, so that what was sent last still arrives. */
async function closeConnection(connection: Connection): Promise<void> {
  try {
    await connection.close({ signal: AbortSignal.timeout(closeMillisMax) });
  } catch (error) {
    connection.abort(error instanceof Error ? error : new Error(String(error)));
  }
}

function samePeer(left: Peer, right: Peer): boolean {
  return left.identity === right.identity && left.addresses.join() === right.addresses.join();
}

function joinAddress(host: string, port: number): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Listening needs an address, so a name is resolved here. */
async function listenAddress(host: string, port: number): Promise<string> {
  const { address, family } = isIP(host)
    ? { address: host, family: isIP(host) }
    : await lookup(host);
  return `/ip${family}/${address}/tcp/${port}`;
}

/** `host:port` or `[v6]:port` as a multiaddr that also names the expected peer, if it is known. */
export function dialAddress(address: string, identity?: string): string {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/]+)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (!host || port < 1 || port > 65_535) {
    throw new Error(`peer address "${address}" is not host:port with a port in 1..65535`);
  }
  const family = isIP(host);
  const name = family === 0 ? "dns" : `ip${family}`;
  return `/${name}/${host}/tcp/${port}${identity === undefined ? "" : `/p2p/${identity}`}`;
}

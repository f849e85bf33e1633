/**
 * Lanes: where messages travel once a link has proved itself.
 *
 * ```
 *   opener   ── laneRequest ──────► acceptor     over the libp2p stream, which Noise has
 *   opener   ◄────── laneOffer ───  acceptor     authenticated: a port, a name, a key
 *   opener   ══ TLS with that key ═ acceptor     from now on all frames, both ways
 * ```
 *
 * A message that goes through Noise and Yamux costs each end some 75 µs, and the socket several
 * writes; through Node's own TLS it costs a tenth. The key is random, known to the two ends alone
 * and good for one connection, so the lane is authenticated as the link is (RFC 4279). A lane that
 * cannot be had, for want of an open port perhaps, is done without: the stream carries all.
 *
 * Members that were told to do without encryption on one machine ask for a lane without TLS
 * (`plain-lane.ts`); a member that was not told so takes this for a request for an ordinary lane.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { connect, createServer, type Server, type TLSSocket } from "node:tls";
import type { Log } from "../types.ts";
import {
  decodeOffer,
  type Grant,
  Grants,
  type LaneOffer,
  laneConnectionsMax,
  offerMillis,
} from "./lane-offers.ts";
import { laneOfferBytes } from "./peer-frames.ts";
import { PlainLaneServer } from "./plain-lane.ts";

const tls = {
  ciphers: "PSK-AES128-GCM-SHA256",
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.2",
} as const;

/** Connects to the host that made the offer. Rejects when that does not work in time. */
export async function openLane(
  host: string,
  { port, name, key }: LaneOffer,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const socket = connect({
    ...tls,
    host,
    port,
    pskCallback: () => ({ psk: key, identity: name }),
    // The key is the proof: there is no certificate.
    checkServerIdentity: () => undefined,
  });
  socket.setNoDelay(true);
  try {
    const timeout = AbortSignal.timeout(offerMillis);
    await once(socket, "secureConnect", { signal: AbortSignal.any([signal, timeout]) });
    return socket;
  } catch (error) {
    socket.on("error", () => {}).destroy();
    throw error;
  }
}

/** Where lanes arrive: a port of its own beside that of libp2p. */
export class LaneServer {
  readonly #server: Server;
  readonly #grants = new Grants();
  readonly #plain: PlainLaneServer | undefined;
  readonly #granted = new WeakMap<TLSSocket, Grant>();
  readonly #sockets = new Set<TLSSocket>();

  /** `plaintext`: to peers that ask for it, lanes without TLS are offered. */
  constructor(log: Log, plaintext = false) {
    if (plaintext) this.#plain = new PlainLaneServer(this.#grants, log);
    this.#server = createServer({
      ...tls,
      handshakeTimeout: offerMillis,
      pskCallback: (socket, name) => this.#take(socket, name),
    });
    this.#server.maxConnections = laneConnectionsMax;
    this.#server.on("tlsClientError", (error, socket) => {
      log.debug("a lane was refused", { from: socket.remoteAddress, error });
      // A handshake that took too long is told here and goes on, unless it is ended.
      socket.destroy();
    });
    this.#server.on("secureConnection", (socket) => {
      socket.setNoDelay(true);
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      this.#granted.get(socket)?.taken(socket);
    });
  }

  async start(host: string): Promise<void> {
    this.#server.listen(0, host);
    await once(this.#server, "listening");
    await this.#plain?.start(host);
  }

  /**
   * An offer for one connection, which `taken` gets; and how it is withdrawn. `plain`: without TLS,
   * if that is done here.
   */
  grant(
    taken: (socket: Socket) => void,
    plain = false,
  ): { offer: Buffer; plain: boolean; withdraw: () => void } {
    const offer = randomBytes(laneOfferBytes);
    const without = plain ? this.#plain : undefined;
    const port = without?.port ?? (this.#server.address() as AddressInfo).port;
    offer.writeUInt16BE(port, 0);
    const { name, key } = decodeOffer(offer);
    this.#grants.add(name, { key, expiresAt: performance.now() + offerMillis, taken });
    return { offer, plain: without !== undefined, withdraw: () => this.#grants.withdraw(name) };
  }

  close(): void {
    this.#plain?.close();
    this.#grants.clear();
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #take(socket: TLSSocket, name: string): Buffer | null {
    const grant = this.#grants.take(name);
    if (!grant) return null;
    this.#granted.set(socket, grant);
    return grant.key;
  }
}

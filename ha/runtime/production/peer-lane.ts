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
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer, type Server, type TLSSocket } from "node:tls";
import type { Log } from "../types.ts";
import { FrameError, laneOfferBytes } from "./peer-frames.ts";

const nameBytes = 16;
/** An offer that is not taken up by then is void; and so is a handshake. */
const offerMillis = 3_000;
const connectionsMax = 64;
const tls = {
  ciphers: "PSK-AES128-GCM-SHA256",
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.2",
} as const;

interface LaneOffer {
  readonly port: number;
  readonly name: string;
  readonly key: Buffer;
}

interface Grant {
  readonly key: Buffer;
  readonly expiresAt: number;
  readonly taken: (socket: TLSSocket) => void;
}

export function decodeOffer(bytes: Uint8Array): LaneOffer {
  if (bytes.length !== laneOfferBytes) {
    throw new FrameError(`a lane offer of ${bytes.length} bytes, not ${laneOfferBytes}`);
  }
  const offer = Buffer.from(bytes);
  return {
    port: offer.readUInt16BE(0),
    name: offer.toString("hex", 2, 2 + nameBytes),
    key: offer.subarray(2 + nameBytes),
  };
}

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
  readonly #grants = new Map<string, Grant>();
  readonly #granted = new WeakMap<TLSSocket, Grant>();
  readonly #sockets = new Set<TLSSocket>();

  constructor(log: Log) {
    this.#server = createServer({
      ...tls,
      handshakeTimeout: offerMillis,
      pskCallback: (socket, name) => this.#take(socket, name),
    });
    this.#server.maxConnections = connectionsMax;
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
  }

  /** An offer for one connection, which `taken` gets; and how it is withdrawn. */
  grant(taken: (socket: TLSSocket) => void): { offer: Buffer; withdraw: () => void } {
    const offer = randomBytes(laneOfferBytes);
    offer.writeUInt16BE((this.#server.address() as AddressInfo).port, 0);
    const { name, key } = decodeOffer(offer);
    this.#grants.set(name, { key, expiresAt: performance.now() + offerMillis, taken });
    return { offer, withdraw: () => this.#grants.delete(name) };
  }

  close(): void {
    this.#grants.clear();
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #take(socket: TLSSocket, name: string): Buffer | null {
    const grant = this.#grants.get(name);
    this.#grants.delete(name);
    if (!grant || performance.now() > grant.expiresAt) return null;
    this.#granted.set(socket, grant);
    return grant.key;
  }
}

/**
 * Lanes without TLS, between members that were told to do without it and are on one machine: what
 * opens the lane is the name and the key of its offer, which the authenticated stream has brought.
 */
import { timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { Log } from "../types.ts";
import {
  type Grants,
  type LaneOffer,
  laneConnectionsMax,
  laneNameBytes as nameBytes,
  offerMillis,
} from "./lane-offers.ts";

const keyBytes = 32;

/** Connects to the host that made the offer. Rejects when that does not work in time. */
export async function openPlainLane(
  host: string,
  { port, name, key }: LaneOffer,
  signal: AbortSignal,
): Promise<Socket> {
  const socket = connect({ host, port, noDelay: true });
  try {
    const timeout = AbortSignal.timeout(offerMillis);
    await once(socket, "connect", { signal: AbortSignal.any([signal, timeout]) });
    socket.write(Buffer.concat([Buffer.from(name, "hex"), key]));
    return socket;
  } catch (error) {
    socket.on("error", () => {}).destroy();
    throw error;
  }
}

/** Where such lanes arrive. */
export class PlainLaneServer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #grants: Grants;
  readonly #log: Log;

  constructor(grants: Grants, log: Log) {
    this.#grants = grants;
    this.#log = log;
    this.#server = createServer({ noDelay: true }, (socket) => this.#arrived(socket));
    this.#server.maxConnections = laneConnectionsMax;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async start(host: string): Promise<void> {
    this.#server.listen(0, host);
    await once(this.#server, "listening");
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Waits for name and key. A peer that takes too long, or sends others, is disconnected. */
  #arrived(socket: Socket): void {
    this.#sockets.add(socket);
    const tooLong = setTimeout(() => socket.destroy(), offerMillis);
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(tooLong);
      this.#sockets.delete(socket);
    });
    const read = () => {
      const shown: Buffer | null = socket.read(nameBytes + keyBytes);
      if (shown === null) return;
      clearTimeout(tooLong);
      socket.off("readable", read);
      const grant = this.#grants.take(shown.toString("hex", 0, nameBytes));
      if (shown.length < nameBytes + keyBytes || !matches(grant?.key, shown.subarray(nameBytes))) {
        this.#log.debug("a lane was refused", { from: socket.remoteAddress });
        socket.destroy();
        return;
      }
      grant?.taken(socket);
    };
    socket.on("readable", read);
  }
}

function matches(key: Buffer | undefined, shown: Buffer): boolean {
  return key !== undefined && timingSafeEqual(key, shown);
}

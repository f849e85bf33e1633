/** What a lane is offered by: a port, and a name and a key that are good for one connection. */
import type { Socket } from "node:net";
import { FrameError, laneOfferBytes } from "./peer-frames.ts";

export const laneNameBytes = 16;
/** An offer that is not taken up by then is void; and so is a handshake. */
export const offerMillis = 3_000;
export const laneConnectionsMax = 64;

export interface LaneOffer {
  readonly port: number;
  readonly name: string;
  readonly key: Buffer;
}

export interface Grant {
  readonly key: Buffer;
  readonly expiresAt: number;
  readonly taken: (socket: Socket) => void;
}

/** Offers that were made, by name; each is good for one connection. */
export class Grants {
  readonly #grants = new Map<string, Grant>();

  add(name: string, grant: Grant): void {
    this.#grants.set(name, grant);
  }

  withdraw(name: string): void {
    this.#grants.delete(name);
  }

  /** Undefined: nothing is, or is any more, offered under this name. */
  take(name: string): Grant | undefined {
    const grant = this.#grants.get(name);
    this.#grants.delete(name);
    return grant && performance.now() <= grant.expiresAt ? grant : undefined;
  }

  clear(): void {
    this.#grants.clear();
  }
}

export function decodeOffer(bytes: Uint8Array): LaneOffer {
  if (bytes.length !== laneOfferBytes) {
    throw new FrameError(`a lane offer of ${bytes.length} bytes, not ${laneOfferBytes}`);
  }
  const offer = Buffer.from(bytes);
  return {
    port: offer.readUInt16BE(0),
    name: offer.toString("hex", 2, 2 + laneNameBytes),
    key: offer.subarray(2 + laneNameBytes),
  };
}

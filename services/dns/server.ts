/**
 * Serves DNS on one address over UDP and TCP. The servers of one machine share the address, as its
 * proxies share those of services; while one of them is frozen, the others step before it.
 */
import type { Socket } from "node:dgram";
import { isWithoutIPv6, mappedAddress } from "../../ha/runtime/production/mapped-address.ts";
import type { Cancel, Log } from "../../ha/runtime/types.ts";
import { Backoff, type LoopClock } from "../client/mod.ts";
import { type ConnectionServer, openConnections } from "./connections.ts";
import { openDatagrams } from "./datagrams.ts";
import { dnsLimits } from "./limits.ts";
import type { Transport } from "./message.ts";

/** Undefined: the message is dropped. */
export type Respond = (bytes: Buffer, transport: Transport) => Buffer | Promise<Buffer> | undefined;

export interface DnsServerOptions {
  readonly address: string;
  readonly port: number;
  readonly respond: Respond;
  readonly clock: LoopClock;
  readonly log: Log;
}

interface Listeners {
  readonly datagrams: Socket;
  readonly connections: ConnectionServer;
}

export class DnsServer {
  readonly #options: DnsServerOptions;
  readonly #backoff = new Backoff(dnsLimits.bindRetryFirstMillis, dnsLimits.bindRetryCeilingMillis);
  #listeners: Listeners | undefined;
  /** Before all servers that listen on the mapped address only. */
  #front: Listeners | undefined;
  #retry: Cancel = () => undefined;
  #closed = false;
  #obstacle: string | undefined = "not started";

  constructor(options: DnsServerOptions) {
    this.#options = options;
  }

  /** Why it does not serve; undefined: it does. */
  get obstacle(): string | undefined {
    return this.#obstacle;
  }

  /** Resolves when it serves, or has failed for the first time; it tries again by itself. */
  async start(): Promise<void> {
    const { address, port, log, clock } = this.#options;
    try {
      const listeners = await this.#openShared();
      if (this.#closed) return close(listeners);
      this.#listeners = listeners;
      this.#obstacle = undefined;
      log.info("DNS is served", { address, port });
    } catch (error) {
      this.#obstacle = (error as Error).message;
      if (this.#closed) return;
      log.warn("the DNS address cannot be bound; it is tried again", { address, port, error });
      this.#retry = clock.after(this.#backoff.next(), () => void this.start());
    }
  }

  /** Listens before the servers that are frozen, or beside all of them again. */
  async setStandingIn(standingIn: boolean): Promise<void> {
    const { address, log } = this.#options;
    const front = this.#front;
    if (!standingIn) {
      this.#front = undefined;
      // The check phase comes after everything that waits has been accepted.
      if (front !== undefined) setImmediate(() => close(front));
      return;
    }
    const able = this.#listeners !== undefined && mappedAddress(address) !== undefined;
    if (front !== undefined || !able) return;
    try {
      const made = await this.#open(address);
      if (this.#closed || this.#front !== undefined) close(made);
      else this.#front = made;
    } catch (error) {
      log.warn("cannot stand in for a frozen DNS server", { error });
    }
  }

  /** Idempotent. */
  close(): void {
    this.#closed = true;
    this.#retry();
    for (const each of [this.#listeners, this.#front]) if (each !== undefined) close(each);
    this.#listeners = undefined;
    this.#front = undefined;
  }

  async #openShared(): Promise<Listeners> {
    const { address } = this.#options;
    const mapped = mappedAddress(address);
    if (mapped === undefined) return this.#open(address);
    try {
      return await this.#open(mapped);
    } catch (error) {
      if (!isWithoutIPv6(error)) throw error;
      return this.#open(address);
    }
  }

  async #open(address: string): Promise<Listeners> {
    const { port, respond, log } = this.#options;
    const datagrams = await openDatagrams(address, port, respond, log);
    try {
      const bound = port === 0 ? datagrams.address().port : port;
      return { datagrams, connections: await openConnections(address, bound, respond, log) };
    } catch (error) {
      datagrams.close();
      throw error;
    }
  }
}

function close({ datagrams, connections }: Listeners): void {
  datagrams.close();
  connections.close();
}

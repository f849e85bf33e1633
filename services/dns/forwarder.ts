/** Asks the servers of the machine's resolv.conf for names of other zones. */
import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { connect, isIP } from "node:net";
import type { Log } from "../../ha/runtime/types.ts";
import type { LoopClock } from "../client/mod.ts";
import { dnsLimits } from "./limits.ts";
import type { Transport } from "./message.ts";
import { headerBytes, skipName } from "./wire.ts";

export interface ForwarderOptions {
  /** A resolv.conf; read again now and then. */
  readonly file: string;
  /** Addresses of this server, which must not ask itself. */
  readonly own: readonly string[];
  readonly clock: LoopClock;
  readonly log: Log;
  /** An integer in 0..65535 that strangers cannot guess. */
  readonly randomId: () => number;
  /** Other than 53, for tests. */
  readonly port?: number;
}

export class Forwarder {
  readonly #options: ForwarderOptions;
  #servers: readonly string[] = [];
  #readAt = Number.NEGATIVE_INFINITY;
  #waiting = 0;
  readonly #stop = new AbortController();

  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  /** The servers asked, in order. */
  get servers(): readonly string[] {
    const now = this.#options.clock.monotonicMillis();
    if (now - this.#readAt > dnsLimits.upstreamReadMillis) {
      this.#readAt = now;
      this.#servers = this.#read();
    }
    return this.#servers;
  }

  /** Undefined: no server has answered in time, or too many queries wait already. */
  async ask(query: Buffer, transport: Transport): Promise<Buffer | undefined> {
    const { servers } = this;
    if (servers.length === 0 || this.#waiting >= dnsLimits.forwardsMax) return undefined;
    this.#waiting += 1;
    try {
      for (let round = 0; round < dnsLimits.forwardRounds; round++) {
        for (const server of servers) {
          if (this.#stop.signal.aborted) return undefined;
          const reply = await this.#askOne(server, query, transport);
          if (reply !== undefined) return reply;
        }
      }
      return undefined;
    } finally {
      this.#waiting -= 1;
    }
  }

  /** Ends all waiting. Idempotent. */
  close(): void {
    this.#stop.abort();
  }

  async #askOne(server: string, query: Buffer, transport: Transport): Promise<Buffer | undefined> {
    const asked = Buffer.from(query);
    // An id of its own, and a port of its own: a stranger must guess both to forge the answer.
    asked.writeUInt16BE(this.#options.randomId(), 0);
    const ask = transport === "datagram" ? askByDatagram : askByStream;
    const reply = await ask(server, this.#options.port ?? 53, asked, this.#stop.signal);
    if (reply === undefined) return undefined;
    const copy = Buffer.from(reply);
    query.copy(copy, 0, 0, 2);
    return copy;
  }

  #read(): readonly string[] {
    const { file, own, log } = this.#options;
    try {
      const lines = readFileSync(file, "utf8").split("\n");
      return lines
        .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? "")
        .filter((address) => isIP(address) !== 0 && !own.includes(address))
        .slice(0, dnsLimits.upstreamsMax);
    } catch (error) {
      log.warn("the machine's resolv.conf cannot be read", { file, error });
      return [];
    }
  }
}

type Ask = (
  server: string,
  port: number,
  query: Buffer,
  signal: AbortSignal,
) => Promise<Buffer | undefined>;

const askByDatagram: Ask = (server, port, query, signal) =>
  new Promise((resolve) => {
    const socket = createSocket(isIP(server) === 6 ? "udp6" : "udp4");
    let ended = false;
    const done = (reply: Buffer | undefined) => {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      signal.removeEventListener("abort", fail);
      socket.close();
      resolve(reply);
    };
    const fail = () => done(undefined);
    const timer = setTimeout(fail, dnsLimits.forwardMillis);
    signal.addEventListener("abort", fail);
    socket.on("error", fail);
    socket.on("message", (reply) => {
      if (answers(reply, query)) done(reply);
    });
    // A connected socket gets datagrams from this server alone.
    socket.connect(port, server, () => {
      if (!ended) socket.send(query);
    });
  });

const askByStream: Ask = (server, port, query, signal) =>
  new Promise((resolve) => {
    const socket = connect({ host: server, port, timeout: dnsLimits.forwardMillis, signal });
    const head = Buffer.alloc(2);
    head.writeUInt16BE(query.length);
    let received = Buffer.alloc(0);
    const done = (reply: Buffer | undefined) => {
      socket.destroy();
      resolve(reply);
    };
    socket.on("error", () => done(undefined));
    socket.on("timeout", () => done(undefined));
    socket.on("close", () => done(undefined));
    socket.on("connect", () => socket.write(Buffer.concat([head, query])));
    socket.on("data", (piece) => {
      received = Buffer.concat([received, piece]);
      if (received.length < 2) return;
      const end = 2 + received.readUInt16BE(0);
      if (received.length < end) return;
      const reply = received.subarray(2, end);
      done(answers(reply, query) ? reply : undefined);
    });
  });

/** Same id, and the same question to the letter. */
function answers(reply: Buffer, query: Buffer): boolean {
  if (reply.length < headerBytes || ((reply[2] ?? 0) & 0x80) === 0) return false;
  if (reply.readUInt16BE(0) !== query.readUInt16BE(0) || reply.readUInt16BE(4) !== 1) return false;
  const nameEnd = skipName(query, headerBytes);
  if (nameEnd === undefined) return false;
  const question = query.subarray(headerBytes, nameEnd + 4);
  return reply.subarray(headerBytes, nameEnd + 4).equals(question);
}

/**
 * The proxies of one machine know of each other by beats: datagrams on the loopback network's
 * broadcast address, which every proxy of the machine receives. So a proxy finds out which nodes
 * share the machine, and when a proxy is frozen (stopped, not dead): its process exists but its
 * beats are missing. Proxies also tell each other the endpoints they chose for clients.
 *
 * Nothing in a datagram is trusted with more than this machine's own users could do anyway: a false
 * one can make the proxies stand in for one that is well, or count a node as local.
 */
import { createSocket, type Socket } from "node:dgram";
import { readFileSync } from "node:fs";
import type { Cancel, Log } from "../../ha/runtime/types.ts";
import type { LoopClock } from "../client/mod.ts";
import type { AffinityEntry } from "./affinity.ts";
import { proxyLimits } from "./limits.ts";
import { datagramsOf, type PeerMessage, readPeerMessage } from "./peer-messages.ts";

export interface PeersOptions {
  readonly nodeName: string;
  readonly nodeIP: string;
  /** The UDP port on 127.255.255.255; proxies of one cluster use the same one. */
  readonly port: number;
  /** Unique to this process's run. */
  readonly instance: string;
  readonly clock: LoopClock;
  readonly log: Log;
  /** The nodes of the machine, or which proxies are frozen, have changed. */
  readonly changed: () => void;
  readonly learned: (entry: AffinityEntry) => void;
  /** Everything to tell a proxy that has just started. */
  readonly known: () => Iterable<AffinityEntry>;
}

interface Peer {
  readonly instance: string;
  readonly node: string;
  readonly address: string;
  readonly pid: number;
  readonly startedAt: string | undefined;
  beatMillis: number;
  heardAt: number;
  frozen: boolean;
}

const broadcastAddress = "127.255.255.255";

export class Peers {
  readonly #options: PeersOptions;
  readonly #peers = new Map<string, Peer>();
  readonly #outbox: string[] = [];
  #receiver: Socket | undefined;
  #sender: Socket | undefined;
  #cancel: Cancel = () => undefined;
  #tickAt = 0;
  /** When a proxy was last seen to be frozen. */
  #frozenAt = Number.NEGATIVE_INFINITY;
  #standingIn = false;
  #closed = false;

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  /** Rejects when the beats' address cannot be bound; the proxy then works by itself. */
  async start(): Promise<void> {
    const { clock, log, port } = this.#options;
    const receiver = createSocket({ type: "udp4", reuseAddr: true });
    const sender = createSocket("udp4");
    this.#receiver = receiver;
    this.#sender = sender;
    for (const socket of [receiver, sender]) {
      socket.on("error", (error) => log.warn("the proxies' beats report an error", { error }));
    }
    receiver.on("message", (bytes) => this.#heard(bytes));
    await bound(receiver, port, broadcastAddress);
    await bound(sender, 0, "127.0.0.1");
    sender.setBroadcast(true);
    if (this.#closed) return;
    this.#tickAt = clock.monotonicMillis();
    this.#tick();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancel();
    const { nodeName, instance } = this.#options;
    const bye = JSON.stringify({ kind: "bye", node: nodeName, instance } satisfies PeerMessage);
    this.#receiver?.close();
    const sender = this.#sender;
    sender?.send(bye, this.#options.port, broadcastAddress, () => sender.close());
  }

  /** The nodes of this machine, this proxy's own included; of one address, if it is given. */
  nodes(address?: string): ReadonlySet<string> {
    const { nodeName, nodeIP } = this.#options;
    const all = [{ node: nodeName, address: nodeIP }, ...this.#peers.values()];
    const those = all.filter((one) => address === undefined || one.address === address);
    return new Set(those.map(({ node }) => node));
  }

  /** Whether some proxy of the machine is frozen, or was until a moment ago. */
  get standingIn(): boolean {
    return this.#standingIn;
  }

  tell(entry: AffinityEntry): void {
    if (this.#peers.size > 0) this.#broadcast({ kind: "affinity", entries: [entry] });
  }

  #tick(): void {
    const { clock } = this.#options;
    const now = clock.monotonicMillis();
    const pace = this.#pace();
    if (now - this.#tickAt > pace + proxyLimits.stallMillis) {
      // This process stood still itself: the others' beats may lie unread in its socket.
      for (const peer of this.#peers.values()) peer.heardAt = now;
    } else this.#judge(now);
    this.#tickAt = now;
    this.#beat(pace);
    for (const text of this.#outbox.splice(0, proxyLimits.peerDatagramsPerBeat)) this.#send(text);
    this.#cancel = clock.after(pace, () => this.#tick());
  }

  /** A machine with many proxies hears as many beats a second as one with few. */
  #pace(): number {
    const share = (this.#peers.size + 1) / proxyLimits.peersAtFullPace;
    return Math.round(proxyLimits.beatMillis * Math.max(1, share));
  }

  #judge(now: number): void {
    let changed = false;
    for (const [instance, peer] of this.#peers) {
      if (now - peer.heardAt <= peer.beatMillis * proxyLimits.beatsMissedMax) continue;
      if (!isSameProcess(peer)) {
        this.#peers.delete(instance);
        changed = true;
      } else if (!peer.frozen) {
        this.#options.log.warn("a proxy of this machine is frozen", { node: peer.node });
        peer.frozen = true;
      }
    }
    if ([...this.#peers.values()].some(({ frozen }) => frozen)) this.#frozenAt = now;
    const standingIn = now - this.#frozenAt < proxyLimits.calmMillis;
    if (standingIn !== this.#standingIn) changed = true;
    this.#standingIn = standingIn;
    if (changed) this.#options.changed();
  }

  #beat(beatMillis: number): void {
    const { nodeName: node, nodeIP: address, instance } = this.#options;
    this.#broadcast({ kind: "beat", node, address, instance, pid: process.pid, beatMillis });
  }

  #heard(bytes: Uint8Array): void {
    const message = readPeerMessage(bytes);
    if (message === undefined) return;
    if (message.kind === "affinity") {
      for (const entry of message.entries) this.#options.learned(entry);
    } else if (message.instance === this.#options.instance) return;
    else if (message.kind === "bye") {
      if (this.#peers.delete(message.instance)) this.#options.changed();
    } else this.#heardBeat(message);
  }

  #heardBeat(message: PeerMessage & { readonly kind: "beat" }): void {
    const { instance, node, address, pid, beatMillis } = message;
    const now = this.#options.clock.monotonicMillis();
    const known = this.#peers.get(instance);
    if (known) {
      known.heardAt = now;
      known.beatMillis = beatMillis;
      known.frozen = false;
      return;
    }
    if (this.#peers.size >= proxyLimits.peersMax) return;
    const startedAt = startOf(pid);
    const fresh = { instance, node, address, pid, startedAt, beatMillis, heardAt: now };
    this.#peers.set(instance, { ...fresh, frozen: false });
    this.#beat(this.#pace());
    if (this.#isFirst(instance)) this.#tellAll();
    this.#options.changed();
  }

  /** One proxy tells a new one what is known, not all of them. */
  #isFirst(except: string): boolean {
    const { instance } = this.#options;
    return [...this.#peers.values()].every(
      (peer) => peer.frozen || peer.instance === except || peer.instance > instance,
    );
  }

  #tellAll(): void {
    for (const text of datagramsOf(this.#options.known())) {
      if (this.#outbox.length >= proxyLimits.peerOutboxMax) return;
      this.#outbox.push(text);
    }
  }

  #broadcast(message: PeerMessage): void {
    this.#send(JSON.stringify(message));
  }

  #send(text: string): void {
    // A lost datagram is made good by the next one; an error is told by the socket.
    if (!this.#closed) this.#sender?.send(text, this.#options.port, broadcastAddress);
  }
}

function bound(socket: Socket, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(port, address, () => {
      socket.off("error", reject);
      resolve();
    });
  });
}

function isSameProcess({ pid, startedAt }: Peer): boolean {
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it exists and belongs to another user.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  return startedAt === startOf(pid);
}

/** When the process was started, in the kernel's ticks: tells it from a later one of the same pid. */
function startOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined; // no such process, or no such file system
  }
}

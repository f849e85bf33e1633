/**
 * All nondeterminism, behind one interface.
 *
 * `ha/raft`, `ha/store` and `ha/member` learn the time, a random number, the content of a disk or
 * the word of a peer only through a {@link Runtime}, which they are handed as first argument.
 * Production (`production/`) and the simulator (`simulated/`) are its two implementations; the
 * suites in `test/contract/` hold both to the guarantees written here.
 *
 * Everything is callback-shaped on purpose: a completion is an event that the simulator may delay,
 * reorder against other events, or lose in a crash.
 */

import type { FaultControl } from "./faults/settings.ts";

/** Identifies a member of the cluster: an integer in 1..2^53-1, never reused. */
export type MemberId = number & { readonly __brand: "MemberId" };

/** Undoes a registration. Calling it twice is harmless. */
export type Cancel = () => void;

export interface Runtime {
  readonly clock: Clock;
  readonly random: Random;
  readonly disk: Disk;
  readonly network: PeerNetwork;
  readonly log: Log;
  /** Sets faults into clock, disk and network; absent: none can be set. */
  readonly faults?: FaultControl | undefined;
}

export interface Clock {
  /** Milliseconds since an arbitrary origin; never goes back, unaffected by wall-clock changes. */
  monotonicMillis(): number;
  /** Unix time in milliseconds; may jump either way. */
  wallMillis(): number;
  /** Calls back once, `millis` from now. */
  after(millis: number, callback: () => void): Cancel;
  /** Calls back every `millis`. A late call is not made up for: calls never pile up. */
  every(millis: number, callback: () => void): Cancel;
  /**
   * Calls back once, when everything that has already arrived in this turn has been handled: the
   * place where work is batched.
   */
  soon(callback: () => void): void;
}

export interface Random {
  /** Uniform integer in 0..limit-1, for limit in 1..2^32. */
  below(limit: number): number;
  /** `length` random bytes; unpredictable in production. */
  bytes(length: number): Uint8Array;
}

/** One operation of an atomic {@link Disk.write}. No `value` means delete. */
export interface DiskOperation {
  readonly key: Uint8Array;
  readonly value?: Uint8Array;
}

export interface DiskRange {
  /** First key of the range, inclusive. */
  readonly start: Uint8Array;
  /** End of the range, exclusive. */
  readonly end: Uint8Array;
  /** Descending order. */
  readonly reverse?: boolean;
  /** At most this many entries; required, so that no caller reads without a bound. */
  readonly limit: number;
}

export type DiskEntry = readonly [key: Uint8Array, value: Uint8Array];

/**
 * An ordered key-value disk: one LevelDB behind a journal in production.
 *
 * Guarantees:
 * - a `write` is atomic: after a crash all of its operations are there, or none;
 * - writes become visible to `get` and `scan`, and durable, in the order in which they were called;
 * - when `done` is called without an error after `sync: true`, this write and all before it survive
 *   a crash of the machine; without `sync` a crash may lose it, and then every later one as well;
 * - `done` is never called synchronously. After the first failed write, every later one fails too:
 *   a disk that has lied once is not asked again.
 *
 * The operations of a write and their bytes belong to the disk after the call: the caller must not
 * change them.
 */
export interface Disk {
  write(
    operations: readonly DiskOperation[],
    options: { readonly sync: boolean },
    done: (error?: DiskError) => void,
  ): void;
  /** Point read; sees every write that was called before. Throws {@link DiskError}. */
  get(key: Uint8Array): Uint8Array | undefined;
  /** One page of a range, as of some moment between the call and `done`. */
  scan(
    range: DiskRange,
    done: (error: DiskError | undefined, page: readonly DiskEntry[]) => void,
  ): void;
  /** Bytes of all data, including deleted data that has not been freed yet. */
  bytesUsed(): Promise<number>;
  /** Gives back the space of what was deleted, beside all other work. Absent: nothing to give. */
  compact?(): Promise<void>;
  /** Waits for writes under way. Idempotent. */
  close(): Promise<void>;
}

/** A disk operation that failed; the message names the file or directory and what to do. */
export class DiskError extends Error {
  override readonly name = "DiskError";
  /** `corrupt`: the data cannot be trusted; `full`: no space; `io`: anything else. */
  readonly kind: "corrupt" | "full" | "io" | "closed";
  constructor(kind: DiskError["kind"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** A peer as the membership knows it. */
export interface Peer {
  readonly id: MemberId;
  /** Name for people, e.g. `master-0`. */
  readonly name: string;
  /** `host:port` addresses to dial, tried in order. */
  readonly addresses: readonly string[];
  /** Pinned Ed25519 public key as a libp2p peer id, e.g. `12D3KooW…`; empty: not known yet. */
  readonly identity: string;
}

/** A caller that holds the cluster's token and has proved its identity, but is not pinned. */
export interface Stranger {
  readonly identity: string;
  readonly name: string;
  /** `host:port` addresses under which it is reached. */
  readonly addresses: readonly string[];
}

/** The answer to a stranger. */
export interface Introduction {
  /** The id under which the cluster knows the stranger; absent: there is no cluster here yet. */
  readonly member?: MemberId;
  /** The members, the stranger included. */
  readonly peers?: readonly Peer[];
  /** Why the stranger may not take part. */
  readonly refusal?: string;
}

export interface PeerHandlers {
  /** A whole message, once, in the order sent on its link; `bytes` belong to the handler. */
  message(from: MemberId, bytes: Uint8Array): void;
  /** Absent: strangers are not answered. */
  introduction?(stranger: Stranger): Promise<Introduction>;
  /** The link to a peer came up, or went down (closed or reset by the other end or the network). */
  link(peer: MemberId, up: boolean): void;
}

/**
 * Best-effort, authenticated message links between the members.
 *
 * Guarantees: messages of one link arrive whole, in order and at most once, or not at all; only
 * a pinned peer can deliver one; a broken link is dialled again for ever with bounded, jittered
 * backoff; nothing is queued without bound: a message that does not fit is dropped.
 */
export interface PeerNetwork {
  /** Begins to listen and dial. Rejects when the address cannot be bound. */
  start(handlers: PeerHandlers): Promise<void>;
  /** Replaces the set of pinned peers; links to peers no longer in it are closed. */
  setPeers(peers: readonly Peer[]): void;
  /**
   * Queues a message; all messages of a turn leave in one write. False: no link, or its queue is
   * full, and the message was dropped. Never throws.
   */
  send(to: MemberId, message: Uint8Array): boolean;
  close(): Promise<void>;
}

/** Structured log. `fields` are small plain values; the text is a constant sentence. */
export interface Log {
  debug(text: string, fields?: Readonly<Record<string, unknown>>): void;
  info(text: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(text: string, fields?: Readonly<Record<string, unknown>>): void;
  error(text: string, fields?: Readonly<Record<string, unknown>>): void;
  /** A log that adds these fields to every line. */
  child(fields: Readonly<Record<string, unknown>>): Log;
}

/**
 * What all calls of a session have in common: the caller, a deadline, the bytes that they hold, a
 * head, and one end, which the listeners of `cancelled` hear of.
 */
import type { Metadata } from "@grpc/grpc-js";
import type { Stream } from "../../http2/mod.ts";
import { Code, StatusError } from "../../runtime/status-error.ts";
import type { Arrival } from "./arrival.ts";
import { type AuthContext, type CallOwner, deadlinePassed } from "./call-owner.ts";
import type { Expiring } from "./deadline-wheel.ts";
import type { Method } from "./method.ts";
import type { Session } from "./session.ts";
import type { CallTemplate } from "./template.ts";
import { headOf, statusOfError, tailOf, toMetadata, type WireStatus } from "./wire-metadata.ts";

export type Listener = (...args: unknown[]) => void;

export abstract class Call implements CallOwner, Expiring {
  /** Where the request is a single message. */
  request: unknown;
  cancelled = false;
  readonly expiresAt: number;
  previous: Expiring | undefined;
  next: Expiring | undefined;
  protected readonly session: Session;
  protected readonly stream: Stream;
  protected readonly template: CallTemplate;
  protected readonly method: Method;
  /** Taken from the session's allowance until the call is over. */
  protected requestBytes = 0;
  /** While a message has come in part. */
  protected arrival: Arrival | undefined;
  protected headSent = false;
  /** The handler has been called. */
  protected begun = false;
  protected done = false;
  #metadata: Metadata | undefined;
  #onCancelled: Listener[] | undefined;

  constructor(session: Session, stream: Stream, template: CallTemplate, method: Method) {
    this.session = session;
    this.stream = stream;
    this.template = template;
    this.method = method;
    const { timeoutMillis } = template;
    if (timeoutMillis === undefined) {
      this.expiresAt = Number.POSITIVE_INFINITY;
    } else {
      this.expiresAt = Date.now() + timeoutMillis;
      session.deadlines.add(this);
    }
  }

  get metadata(): Metadata {
    this.#metadata ??= toMetadata(this.template.block);
    return this.#metadata;
  }

  header(name: string): string | undefined {
    return this.template.block.get(name);
  }

  namesWith(prefix: string): readonly string[] {
    return this.template.block.namesWith(prefix);
  }

  get note(): unknown {
    return this.template.note;
  }

  set note(note: unknown) {
    this.template.note = note;
  }

  getPeer(): string {
    return this.session.peerAddress;
  }

  getDeadline(): number {
    return this.expiresAt;
  }

  getPath(): string {
    return this.template.path;
  }

  getHost(): string {
    return this.template.host;
  }

  getAuthContext(): AuthContext {
    return this.session.authContext;
  }

  sendMetadata(metadata: Metadata) {
    if (!this.done) this.sendHead(headOf(metadata));
  }

  /** The only event of a call is `cancelled`, at most once. */
  on(event: string, listener: Listener): this {
    if (event !== "cancelled") return this;
    if (this.#onCancelled === undefined) this.#onCancelled = [listener];
    else this.#onCancelled.push(listener);
    return this;
  }

  off(event: string, listener: Listener): this {
    if (event !== "cancelled" || this.#onCancelled === undefined) return this;
    const at = this.#onCancelled.indexOf(listener);
    if (at >= 0) this.#onCancelled.splice(at, 1);
    return this;
  }

  abstract onData(bytes: Buffer, start: number, end: number, endStream: boolean): void;

  abstract onEnd(): void;

  onReset() {
    if (this.done) return;
    this.over();
    this.cancel();
  }

  onWritable() {}

  expire() {
    this.abandon(deadlinePassed());
  }

  abandon(error: StatusError) {
    if (this.done) return;
    this.finish(statusOfError(error));
    this.cancel();
  }

  protected parse(message: Buffer): unknown {
    try {
      return this.method.deserialize(message);
    } catch (thrown) {
      const { message: text } = StatusError.from(thrown);
      throw new StatusError(Code.internal, `the request could not be parsed: ${text}`);
    }
  }

  /** Records the bytes of the request held now. Throws a StatusError beyond the limit. */
  protected hold(bytes: number) {
    const more = bytes - this.requestBytes;
    if (more > 0) this.session.requestBytes.take(more);
    else if (more < 0) this.session.requestBytes.give(-more);
    this.requestBytes = bytes;
  }

  protected expectRest(incomplete: boolean) {
    if (incomplete) {
      this.arrival ??= this.session.expectRest(this);
    } else if (this.arrival !== undefined) {
      this.arrival.stop();
      this.arrival = undefined;
    }
  }

  protected sendHead(block: Uint8Array) {
    if (this.headSent) return;
    this.headSent = true;
    this.session.connection.headers(this.stream, block, false);
  }

  /** Ends the call, after what has been written. */
  finish(status: WireStatus) {
    if (this.done) return;
    this.over();
    const { connection } = this.session;
    const tail = tailOf(status, !this.headSent, connection.peerHeaderListBytes);
    if (this.headSent) connection.trailers(this.stream, tail);
    else connection.headers(this.stream, tail, true);
  }

  /** The call is over: nothing more is read or written. */
  protected over() {
    this.done = true;
    this.session.deadlines.remove(this);
    this.expectRest(false);
    if (this.requestBytes > 0) this.hold(0);
  }

  protected cancel() {
    this.cancelled = true;
    if (!this.begun || this.#onCancelled === undefined) return;
    for (const listener of this.#onCancelled.splice(0)) listener("cancelled");
  }
}

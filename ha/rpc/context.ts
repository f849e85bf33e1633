import { Metadata, type ServerUnaryCall } from "@grpc/grpc-js";
import { Code, StatusError } from "../runtime/status-error.ts";
import { identityOf } from "./certificate.ts";
import { cancelledError } from "./status-details.ts";
import type { CallContext } from "./types.ts";

/** What the four kinds of grpc-js server calls have in common, as far as a context needs it. */
export type ServerCall = Pick<
  ServerUnaryCall<unknown, unknown>,
  | "cancelled"
  | "metadata"
  | "getPeer"
  | "getDeadline"
  | "getPath"
  | "getAuthContext"
  | "sendMetadata"
> & {
  on(event: "cancelled", listener: () => void): unknown;
  /** Set by engines that know it without making metadata. */
  header?(name: string): string | undefined;
  namesWith?(prefix: string): readonly string[];
  /** See {@link CallContext.note}. */
  note?: unknown;
};

/** A {@link CallContext} on a grpc-js call. The parts that cost are made when first asked for. */
export class HandlerContext implements CallContext {
  readonly #call: ServerCall;
  #onCancel: (() => void)[] | undefined;
  #controller: AbortController | undefined;
  #peer: CallContext["peer"] | undefined;
  #trailers: Metadata | undefined;
  #cancelled = false;
  #headersSent = false;
  #finished = false;

  constructor(call: ServerCall) {
    this.#call = call;
  }

  get path(): string {
    return this.#call.getPath();
  }

  get metadata(): Metadata {
    return this.#call.metadata;
  }

  header(name: string): string | undefined {
    if (this.#call.header !== undefined) return this.#call.header(name);
    return this.#call.metadata.get(name)[0]?.toString();
  }

  namesWith(prefix: string): readonly string[] {
    if (this.#call.namesWith !== undefined) return this.#call.namesWith(prefix);
    return Object.keys(this.#call.metadata.getMap()).filter((name) => name.startsWith(prefix));
  }

  get note(): unknown {
    return this.#call.note;
  }

  set note(note: unknown) {
    this.#call.note = note;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      this.whenCancelled(() => controller.abort(this.#cancelReason()));
    }
    return this.#controller.signal;
  }

  get peer(): CallContext["peer"] {
    this.#peer ??= {
      address: this.#call.getPeer(),
      certificate: identityOf(this.#call.getAuthContext()?.sslPeerCertificate),
    };
    return this.#peer;
  }

  get trailers(): Metadata | undefined {
    return this.#trailers;
  }

  get cancelled(): boolean {
    return this.#cancelled || (!this.#finished && this.#call.cancelled);
  }

  remainingMillis(): number | undefined {
    const deadline = this.#call.getDeadline();
    const at = deadline instanceof Date ? deadline.getTime() : deadline;
    return Number.isFinite(at) ? Math.max(0, at - Date.now()) : undefined;
  }

  sendHeaders(): void {
    if (this.#headersSent || this.#finished || this.cancelled) return;
    this.#headersSent = true;
    this.#call.sendMetadata(new Metadata());
  }

  setTrailer(key: string, value: string | Buffer): void {
    this.#trailers ??= new Metadata();
    this.#trailers.set(key, value);
  }

  /** Calls back once when the call is cancelled before its handler is done. */
  whenCancelled(callback: () => void): void {
    if (this.cancelled) callback();
    else if (this.#onCancel !== undefined) this.#onCancel.push(callback);
    else {
      this.#onCancel = [callback];
      // The engine also says "cancelled" when a call has ended by itself; that is not passed on.
      this.#call.on("cancelled", () => this.#cancel());
    }
  }

  /** The handler is done: whatever happens to the transport from here on is not a cancellation. */
  finish(): void {
    this.#cancelled = this.cancelled;
    this.#finished = true;
  }

  #cancel(): void {
    if (this.#finished || this.#cancelled) return;
    this.#cancelled = true;
    for (const callback of this.#onCancel?.splice(0) ?? []) callback();
  }

  #cancelReason(): StatusError {
    if (this.remainingMillis() !== 0) return cancelledError();
    return new StatusError(Code.deadlineExceeded, "the deadline of the call has passed");
  }
}

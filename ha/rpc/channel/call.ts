/**
 * The client's half of one call. It ends once: by the server's status, by the loss of its stream,
 * at its deadline, or by its caller.
 */
import {
  type Connection,
  ErrorCode,
  type HeaderBlock,
  type ResetCause,
  type Stream,
} from "../../http2/mod.ts";
import { Code } from "../../runtime/status-error.ts";
import { CallFailure } from "../call-failure.ts";
import { DeadlineWheel, type Expiring } from "../engine/deadline-wheel.ts";
import { Encoding, encodingOf } from "../engine/messages.ts";
import { failureOfHttp, failureOfReset, failureOfTrailers } from "./failures.ts";

/** Of all calls of the process. */
const deadlines = new DeadlineWheel();

export interface CallSettings {
  /** As `Date.now()` counts; infinite: none. */
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
  readonly maxMessageBytes: number;
}

export abstract class ClientCall implements Expiring {
  readonly expiresAt: number;
  previous: Expiring | undefined;
  next: Expiring | undefined;
  protected readonly maxMessageBytes: number;
  protected encoding: Encoding = Encoding.identity;
  readonly #signal: AbortSignal | undefined;
  #connection: Connection | undefined;
  #stream: Stream | undefined;
  #over = false;
  protected dropped = false;

  constructor({ deadline, signal, maxMessageBytes }: CallSettings) {
    this.expiresAt = deadline;
    this.maxMessageBytes = maxMessageBytes;
    this.#signal = signal;
    signal?.addEventListener("abort", this.cancel, { once: true });
    deadlines.add(this);
  }

  get over(): boolean {
    return this.#over;
  }

  /** It travels on this stream now. */
  carry(connection: Connection, stream: Stream): void {
    this.#connection = connection;
    this.#stream = stream;
  }

  onHeaders(block: HeaderBlock, endStream: boolean) {
    if (endStream) return this.finish(failureOfTrailers(block));
    const status = block.get(":status");
    if (status !== "200") return this.finish(failureOfHttp(status));
    const name = block.get("grpc-encoding");
    const encoding = encodingOf(name);
    if (encoding !== undefined) this.encoding = encoding;
    else
      this.fail(Code.unimplemented, `Received message compressed with unknown encoding: ${name}`);
  }

  abstract onData(piece: Buffer): void;

  onTrailers(block: HeaderBlock): void {
    this.finish(failureOfTrailers(block));
  }

  /** The server has ended its half without a word about how the call went. */
  onEnd(): void {
    this.finish(failureOfHttp(undefined));
  }

  onReset(code: number, cause: ResetCause): void {
    this.finish(failureOfReset(code, cause));
  }

  onWritable(): void {}

  expire(): void {
    this.fail(Code.deadlineExceeded, "Deadline exceeded");
  }

  /** By the caller, who wants nothing more of it. */
  readonly cancel = (): void => {
    this.dropped = true;
    this.fail(Code.cancelled, "Cancelled on client");
  };

  fail(code: Code, message: string): void {
    this.finish(new CallFailure(code, message));
  }

  finish(failure: CallFailure | undefined): void {
    if (this.#over) return;
    this.#over = true;
    deadlines.remove(this);
    this.#signal?.removeEventListener("abort", this.cancel);
    const stream = this.#stream;
    // A server that has ended its half needs no more of ours.
    if (stream !== undefined && !stream.closed && !(stream.remoteClosed && stream.localClosed)) {
      this.#connection?.reset(stream, ErrorCode.cancel);
    }
    this.ended(failure);
  }

  /** Undefined: a success. Called once. */
  protected abstract ended(failure: CallFailure | undefined): void;

  /** The bytes need no room any more. */
  protected consume(bytes: number): void {
    if (this.#stream !== undefined) this.#connection?.consume(this.#stream, bytes);
  }

  /** False: some of it waits. */
  protected write(bytes: Buffer, endStream: boolean): boolean {
    const stream = this.#stream;
    if (this.#over || stream === undefined || this.#connection === undefined) return true;
    return this.#connection.data(stream, bytes, endStream);
  }

  /** Bytes that wait for the server. */
  protected get queuedBytes(): number {
    return this.#stream?.queuedBytes ?? 0;
  }
}

/** REST over HTTP/2, on Trireme's own engine: one record a request. */
import type { Socket } from "node:net";
import {
  Connection,
  type ConnectionError,
  type ConnectionHandler,
  ErrorCode,
  encodeHeaders,
  FieldWriter,
  type HeaderBlock,
  type Stream,
} from "../../../../ha/http2/mod.ts";
import {
  type DeadlineWheel,
  type Expiring,
  type PeerIdentity,
  PieceAnswer,
  type PieceSource,
  type ReadyIterator,
  type RequestBytes,
  readyIterator,
} from "../../../../ha/rpc/mod.ts";
import { StatusError } from "../../../../ha/runtime/status-error.ts";
import type { Log } from "../../../../ha/runtime/types.ts";
import { timeout } from "../../errors.ts";
import { limits } from "../../limits.ts";
import { errorResponse } from "./answers.ts";
import { bodyTooLarge } from "./bodies.ts";
import { httpDate } from "./dates.ts";
import { Patience } from "./patience.ts";
import {
  isPieceBody,
  isStream,
  type RestHandler,
  type RestHeaders,
  type RestRequest,
  type RestResponse,
} from "./types.ts";

export interface SessionOptions {
  readonly log: Log;
  readonly handle: RestHandler;
  readonly bodies: RequestBytes;
  readonly deadlines: DeadlineWheel;
  readonly bodyMillis: number;
}

export class RestSession implements ConnectionHandler {
  readonly connection: Connection;
  readonly peer: PeerIdentity;
  readonly options: SessionOptions;
  readonly #address: string;

  constructor(options: SessionOptions, socket: Socket, peer: PeerIdentity) {
    this.options = options;
    this.peer = peer;
    this.#address = `${socket.remoteAddress}:${socket.remotePort}`;
    this.connection = new Connection("server", this, {
      limits: {
        concurrentStreams: limits.restStreams,
        headerListBytes: limits.restHeaderBytes,
        headerBlockBytes: limits.restHeaderBytes,
        headerFields: limits.restHeaderFields,
        // REST clients seldom answer pings quickly while they are busy; upstream waits 30 s.
        keepaliveMillis: 30_000,
        keepaliveTimeoutMillis: 15_000,
      },
    });
  }

  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    const exchange = new Exchange(this, stream, block);
    stream.user = exchange;
    if (endStream) exchange.onEnd();
    else exchange.expectBody();
  }

  onData(stream: Stream, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    this.connection.consume(stream, end - start);
    const exchange = stream.user as Exchange | undefined;
    exchange?.onData(bytes.subarray(start, end));
    if (endStream) exchange?.onEnd();
  }

  onTrailers(stream: Stream): void {
    (stream.user as Exchange | undefined)?.onEnd();
  }

  onReset(stream: Stream): void {
    (stream.user as Exchange | undefined)?.onReset();
  }

  onWritable(stream: Stream): void {
    (stream.user as Exchange | undefined)?.onWritable();
  }

  onGoaway(): void {}

  onClose(error: ConnectionError | undefined): void {
    if (error === undefined) return;
    const { message: reason } = error;
    this.options.log.debug("a REST connection was given up", { peer: this.#address, reason });
  }
}

/** One request and its answer. */
class Exchange implements RestRequest, Expiring {
  readonly method: string;
  readonly target: string;
  readonly expiresAt: number;
  previous: Expiring | undefined;
  next: Expiring | undefined;
  readonly #session: RestSession;
  readonly #stream: Stream;
  readonly #block: HeaderBlock;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #body: Uint8Array = noBytes;
  #controller: AbortController | undefined;
  /** The request has come in full, or has been refused. */
  #begun = false;
  #gone = false;
  #wake: (() => void) | undefined;
  #answerInPieces: PieceAnswer | undefined;

  constructor(session: RestSession, stream: Stream, block: HeaderBlock) {
    this.#session = session;
    this.#stream = stream;
    this.#block = block;
    this.method = block.get(":method") ?? "";
    this.target = block.get(":path") ?? "";
    this.expiresAt = Date.now() + session.options.bodyMillis;
  }

  get peer(): PeerIdentity {
    return this.#session.peer;
  }

  get body(): Uint8Array {
    return this.#body;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#gone) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  header(name: string): string | undefined {
    return this.#block.get(name);
  }

  headers(name: string): readonly string[] {
    const values: string[] = [];
    const { fields } = this.#block;
    for (let at = 0; at < fields.length; at += 2) {
      if (fields[at] === name) values.push(fields[at + 1] as string);
    }
    return values;
  }

  namesWith(prefix: string): readonly string[] {
    return this.#block.namesWith(prefix);
  }

  expectBody(): void {
    const declared = this.#block.contentLength;
    if (declared > limits.restBodyBytes) this.#refuse(bodyTooLarge());
    else this.#session.options.deadlines.add(this);
  }

  onData(piece: Buffer): void {
    if (this.#begun) return;
    try {
      if (this.#bytes + piece.length > limits.restBodyBytes) throw bodyTooLarge();
      this.#session.options.bodies.take(piece.length);
      this.#bytes += piece.length;
      this.#pieces.push(piece);
    } catch (thrown) {
      this.#refuse(StatusError.from(thrown));
    }
  }

  onEnd(): void {
    if (this.#begun) return;
    this.#begin();
    const [only = noBytes] = this.#pieces;
    this.#body = this.#pieces.length > 1 ? Buffer.concat(this.#pieces) : only;
    this.#pieces = [];
    void this.#session.options.handle(this).then((response) => this.#answer(response));
  }

  /** The body did not come in time. */
  expire(): void {
    const { bodyMillis } = this.#session.options;
    this.#refuse(timeout(`the body did not come in full within ${bodyMillis} ms`));
  }

  onReset(): void {
    this.#gone = true;
    this.#begin();
    this.#release();
    this.#controller?.abort();
    this.#answerInPieces?.close();
    this.onWritable();
  }

  onWritable(): void {
    this.#answerInPieces?.resume();
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  #begin(): void {
    this.#begun = true;
    this.#session.options.deadlines.remove(this);
  }

  #release(): void {
    this.#session.options.bodies.give(this.#bytes);
    this.#bytes = 0;
    this.#pieces = [];
  }

  #refuse(error: StatusError): void {
    if (this.#begun) return;
    this.#begin();
    void this.#answer(errorResponse(error));
  }

  async #answer({ status, headers, body, isDocument }: RestResponse): Promise<void> {
    this.#release();
    const { connection } = this.#session;
    const stream = this.#stream;
    if (this.#gone) {
      if (isStream(body)) await body[Symbol.asyncIterator]().return?.();
      return;
    }
    const block = headOf(status, headers);
    if (!isStream(body)) {
      connection.headers(stream, block, body.length === 0);
      if (body.length > 0) connection.data(stream, body, true);
      this.#settle();
      return;
    }
    connection.headers(stream, block, false);
    if (isPieceBody(body)) {
      this.#sendPieces(body.source);
      return;
    }
    try {
      await this.#send(readyIterator(body), isDocument === true);
      if (!this.#gone) connection.data(stream, noBytes, true);
      this.#settle();
    } catch (thrown) {
      this.#broke(StatusError.from(thrown));
    }
  }

  #sendPieces(source: PieceSource): void {
    const { connection } = this.#session;
    const stream = this.#stream;
    this.#answerInPieces = new PieceAnswer(connection, stream, source, {
      written: () => {
        connection.data(stream, noBytes, true);
        this.#settle();
      },
      failed: (error) => this.#broke(error),
      stalled: () => this.#cutOff(),
    });
    this.#answerInPieces.begin(false);
  }

  #cutOff(): void {
    this.#session.connection.reset(this.#stream, ErrorCode.cancel);
    this.onReset();
  }

  #broke({ message: error }: StatusError): void {
    this.#session.options.log.debug("a REST stream broke", { target: this.target, error });
    if (!this.#gone) this.#session.connection.reset(this.#stream, ErrorCode.internalError);
  }

  /** Ends early when the client leaves, or takes too long for a document. */
  async #send(pieces: ReadyIterator<Uint8Array>, isDocument: boolean): Promise<void> {
    const { connection } = this.#session;
    const patience = isDocument ? new Patience(() => this.#cutOff()) : undefined;
    let complete = false;
    try {
      while (!this.#gone) {
        let piece = pieces.ready();
        if (piece === undefined) {
          const step = await pieces.next();
          complete = step.done === true;
          if (step.done || this.#gone) return;
          piece = step.value;
        }
        if (connection.data(this.#stream, piece, false)) continue;
        patience?.begin();
        await this.#written();
        patience?.end();
      }
    } finally {
      patience?.end();
      if (!complete) await pieces.return?.();
    }
  }

  /** What is still to come of the request is not wanted (RFC 9113 section 8.1). */
  #settle(): void {
    const { connection } = this.#session;
    const stream = this.#stream;
    if (stream.closed || stream.remoteClosed || stream.queuedBytes > 0) return;
    connection.reset(stream, ErrorCode.noError);
  }

  #written(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

const noBytes = Buffer.alloc(0);

const writer = new FieldWriter();

/** Fields that most answers have in common are encoded once. */
const common = new Map<string, Uint8Array>();
/** An answer most often has the fields of the one before. */
let recent: { readonly fields: readonly string[]; readonly block: Uint8Array } = {
  fields: [],
  block: noBytes,
};
const commonMax = 256;
const commonLengthMax = 1_024;
const ownFields: ReadonlySet<string> = new Set(["audit-id", "content-length"]);

/** Valid until the next answer's. */
function headOf(status: number, headers: RestHeaders): Uint8Array {
  const shared = [":status", String(status)];
  for (const [name, value] of headers) if (!ownFields.has(name)) shared.push(name, value);
  writer.clear();
  writer.append(commonBlock(shared));
  writer.add("date", httpDate(Date.now()));
  for (const [name, value] of headers) if (ownFields.has(name)) writer.add(name, value);
  return writer.bytes;
}

function commonBlock(fields: readonly string[]): Uint8Array {
  if (isSame(fields, recent.fields)) return recent.block;
  const key = fields.join("\n");
  let block = common.get(key);
  if (block === undefined) {
    block = encodeHeaders(fields);
    if (common.size >= commonMax) common.clear();
    if (key.length <= commonLengthMax) common.set(key, block);
  }
  recent = { fields, block };
  return block;
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((field, at) => field === others[at]);
}

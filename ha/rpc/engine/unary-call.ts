/**
 * A unary call, as lean as the handlers' view of it allows: no stream, no emitter, metadata only
 * when it is asked for. To a handler it is grpc-js's `ServerUnaryCall`.
 */
import { ErrorCode } from "../../http2/mod.ts";
import { Code, StatusError } from "../../runtime/status-error.ts";
import { PieceAnswer } from "../piece-answer.ts";
import { type PieceSource, PiecewiseMessage } from "../piecewise.ts";
import { Call, type Listener } from "./call.ts";
import {
  frameMessage,
  MessageReader,
  plainMessage,
  prefixBytes,
  tooLarge,
  writeMessagePrefix,
} from "./messages.ts";
import { okHead, okTail, statusOf, statusOfError, tailOf } from "./wire-metadata.ts";

/** Requests up to a frame's size are not counted: most are small, and it would cost each. */
const uncountedBytes = 16 * 1024;
/** What the four bytes of a message's length can say. */
const largestMessageBytes = 2 ** 32 - 1;

export class UnaryCall extends Call {
  #reader: MessageReader | undefined;
  #pieces: PieceAnswer | undefined;

  once(event: string, listener: Listener): this {
    return this.on(event, listener);
  }

  addListener(event: string, listener: Listener): this {
    return this.on(event, listener);
  }

  removeListener(event: string, listener: Listener): this {
    return this.off(event, listener);
  }

  onData(bytes: Buffer, start: number, end: number, endStream: boolean) {
    const { connection, maxRequestBytes } = this.session;
    connection.consume(this.stream, end - start);
    if (this.done) return;
    try {
      if (this.#reader === undefined && endStream && end - start >= prefixBytes) {
        const body = start + prefixBytes;
        if (bytes.readUInt32BE(start + 1) === end - body) {
          if (end - body > maxRequestBytes) {
            throw tooLarge(`a message of ${end - body} bytes`, maxRequestBytes);
          }
          const flag = bytes[start] as number;
          const { encoding } = this.template;
          this.#begin(plainMessage(flag, bytes.subarray(body, end), encoding, maxRequestBytes));
          return;
        }
      }
      this.#collect(bytes.subarray(start, end), endStream);
    } catch (thrown) {
      this.#refuse(StatusError.from(thrown));
    }
  }

  onEnd() {
    if (this.done) return;
    try {
      this.#collect(Buffer.alloc(0), true);
    } catch (thrown) {
      this.#refuse(StatusError.from(thrown));
    }
  }

  #collect(piece: Buffer, endStream: boolean) {
    this.hold(this.requestBytes + piece.length);
    const { maxRequestBytes } = this.session;
    this.#reader ??= new MessageReader(this.template.encoding, maxRequestBytes);
    const reader = this.#reader;
    reader.add(piece);
    reader.checkSingle();
    this.expectRest(!endStream);
    if (!endStream) return;
    const message = reader.next();
    if (message === undefined) {
      throw new StatusError(Code.internal, "a unary call that ended within its message");
    }
    this.#begin(message);
  }

  #begin(message: Buffer) {
    // The decompressed message takes more bytes than have arrived.
    const more = message.length - this.requestBytes;
    if (more > uncountedBytes) this.hold(message.length);
    this.request = this.parse(message);
    this.begun = true;
    try {
      this.method.handle(this, (error, value, trailers) => this.#answer(error, value, trailers));
    } catch (thrown) {
      throw this.session.handlerFailed(this.template.path, thrown);
    }
  }

  #answer(error: unknown, value: unknown, trailers: unknown) {
    if (this.done) {
      if (value instanceof PiecewiseMessage) value.close();
      return;
    }
    if (error !== null && error !== undefined) return this.finish(statusOf(error, trailers));
    if (value instanceof PiecewiseMessage) return this.#answerInPieces(value, trailers);
    const { connection, maxMessageBytes } = this.session;
    let bytes: Uint8Array;
    try {
      bytes = this.method.serialize(value);
    } catch (thrown) {
      const { message } = StatusError.from(thrown);
      const text = `the response could not be serialized: ${message}`;
      return this.#refuse(new StatusError(Code.internal, text));
    }
    if (bytes.length > maxMessageBytes) {
      return this.#refuse(tooLarge(`a response of ${bytes.length} bytes`, maxMessageBytes));
    }
    this.over();
    const plain = trailers === undefined || trailers === null;
    const tail = plain ? okTail : okTailWith(trailers, connection.peerHeaderListBytes);
    if (this.headSent) {
      connection.data(this.stream, frameMessage(bytes), false);
      connection.trailers(this.stream, tail);
    } else {
      connection.reply(this.stream, okHead, bytes, tail);
    }
  }

  /** The call goes on until the last piece has been written: it can be cancelled, or time out. */
  #answerInPieces(message: PiecewiseMessage, trailers: unknown) {
    if (message.length > largestMessageBytes) {
      message.close();
      this.#refuse(tooLarge(`a response of ${message.length} bytes`, largestMessageBytes));
      return;
    }
    this.sendHead(okHead);
    const { connection } = this.session;
    this.#pieces = new PieceAnswer(connection, this.stream, sourceOf(message), {
      written: () => this.finish(statusOf({ code: Code.ok, details: "" }, trailers)),
      failed: (error) => this.#refuse(error),
      stalled: () => {
        connection.reset(this.stream, ErrorCode.cancel);
        this.onReset();
      },
    });
    const prefix = new Uint8Array(prefixBytes);
    writeMessagePrefix(prefix, 0, message.length);
    this.#pieces.begin(!connection.data(this.stream, prefix, false));
  }

  override onWritable() {
    this.#pieces?.resume();
  }

  protected override over() {
    super.over();
    this.#pieces?.close();
  }

  #refuse(error: StatusError) {
    this.finish(statusOfError(error));
  }
}

/** Ends with the announced length. */
function sourceOf(message: PiecewiseMessage): PieceSource {
  let left = message.length;
  return {
    next: (room) => {
      if (left === 0) return undefined;
      const piece = message.next(room);
      if (piece.length === 0 || piece.length > left) {
        throw new StatusError(Code.internal, "a message is not as long as it was announced");
      }
      left -= piece.length;
      return piece;
    },
    idle: () => message.idle(),
    close: () => message.close(),
  };
}

function okTailWith(trailers: unknown, peerHeaderListBytes: number): Uint8Array {
  return tailOf(statusOf({ code: 0, details: "" }, trailers), false, peerHeaderListBytes);
}

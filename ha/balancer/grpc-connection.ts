/** The connection of a client that speaks gRPC. */
import type { HeaderBlock, Stream } from "../http2/mod.ts";
import type { DeadlineWheel } from "../rpc/engine/deadline-wheel.ts";
import { ForeignRequest, foreignAnswer } from "../rpc/engine/foreign-request.ts";
import { rpcLimits } from "../rpc/limits.ts";
import type { PeerIdentity } from "../rpc/listener.ts";
import type { Code } from "../runtime/status-error.ts";
import type { IncomingCall } from "./calls.ts";
import { ClientCall, ClientConnection, type ClientConnectionOptions } from "./client-connection.ts";
import { refusalOf } from "./identity.ts";
import { errorTrailers } from "./replies.ts";
import type { ReplyFields } from "./reply-fields.ts";
import { RequestReader } from "./request-head.ts";

export interface GrpcConnectionOptions extends ClientConnectionOptions {
  readonly deadlines: DeadlineWheel;
  call(call: IncomingCall): void;
}

export class GrpcConnection extends ClientConnection {
  readonly #options: GrpcConnectionOptions;
  readonly #refusal: string | undefined;
  readonly #reader: RequestReader;

  constructor(options: GrpcConnectionOptions, peer: PeerIdentity) {
    const { metadataBytes: headerListBytes, metadataFields: headerFields } = rpcLimits;
    super(options, { headerListBytes, headerFields });
    this.#options = options;
    this.#refusal = refusalOf(peer);
    this.#reader = new RequestReader(peer.certificate, peer.address);
  }

  override onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    // A block with an attachment has passed this check before.
    const foreign = block.attachment === undefined ? foreignAnswer(block) : undefined;
    if (foreign !== undefined) {
      const { deadlines, limits } = this.#options;
      const limit = { deadlines, millis: limits.requestBodyMillis };
      const request = new ForeignRequest(this.connection, stream, foreign, limit);
      stream.user = request;
      if (endStream) request.onEnd();
      return;
    }
    const head = this.#reader.read(block);
    const call = new GrpcCall(this.connection, stream, { head, refusal: this.#refusal });
    stream.user = call;
    this.#options.call(call);
    if (endStream) call.onEnd();
  }
}

class GrpcCall extends ClientCall {
  protected override begin(fields: ReplyFields): void {
    this.connection.headers(this.stream, fields.head, false);
  }

  protected override end(trailers: ReplyFields): void {
    const { peerHeaderListBytes } = this.connection;
    this.connection.trailers(this.stream, trailers.trailers(peerHeaderListBytes));
  }

  protected override only(trailers: ReplyFields): void {
    const { peerHeaderListBytes } = this.connection;
    this.connection.headers(this.stream, trailers.only(peerHeaderListBytes), true);
  }

  protected override error(code: Code, message: string, begun: boolean): void {
    const trailers = errorTrailers(code, message);
    if (begun) this.end(trailers);
    else this.only(trailers);
  }
}

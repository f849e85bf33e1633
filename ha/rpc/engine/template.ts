/** What a request's header block says about its call; found once per distinct block. */
import type { HeaderBlock } from "../../http2/mod.ts";
import { Code, StatusError } from "../../runtime/status-error.ts";
import { foreignAnswer } from "./foreign-request.ts";
import { acceptedEncodings, Encoding, encodingOf } from "./messages.ts";
import type { Method, MethodTable } from "./method.ts";
import { parseTimeout, statusOfError, tailOf } from "./wire-metadata.ts";

export class CallTemplate {
  readonly block: HeaderBlock;
  readonly path: string;
  readonly host: string;
  readonly method: Method | undefined;
  readonly encoding: Encoding;
  readonly timeoutMillis: number | undefined;
  /** See `CallContext.note`. */
  note: unknown;
  /** The answer to a request that is not gRPC. */
  readonly foreign: ReturnType<typeof foreignAnswer>;
  /** An answer that needs no handler: a header block that ends the stream. */
  readonly refusal: Uint8Array | undefined;

  /** `peerHeaderListBytes`: what the caller takes of a refusal. */
  constructor(block: HeaderBlock, methods: MethodTable, peerHeaderListBytes: number) {
    this.block = block;
    this.path = block.get(":path") ?? "";
    this.host = block.get(":authority") ?? block.get("host") ?? "";
    this.method = methods.get(this.path);
    const encoding = encodingOf(block.get("grpc-encoding"));
    this.encoding = encoding ?? Encoding.identity;
    this.foreign = foreignAnswer(block);
    if (this.foreign !== undefined) return;
    try {
      const timeout = block.get("grpc-timeout");
      this.timeoutMillis = timeout === undefined ? undefined : parseTimeout(timeout);
      if (this.method === undefined) {
        throw new StatusError(Code.unimplemented, `there is no method ${shown(this.path)} here`);
      }
      if (encoding === undefined) {
        const name = block.get("grpc-encoding") ?? "";
        throw new StatusError(
          Code.unimplemented,
          `grpc-encoding "${shown(name)}" is not known here`,
        );
      }
    } catch (thrown) {
      const status = statusOfError(StatusError.from(thrown));
      const accepted = ["grpc-accept-encoding", acceptedEncodings];
      this.refusal = tailOf(status, true, peerHeaderListBytes, accepted);
    }
  }
}

/** A caller's own word in an error: no more of it than one can read. */
function shown(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

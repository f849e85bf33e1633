/** Requests and responses of the REST API, whatever the version of HTTP. */
import type { PeerIdentity, PieceSource } from "../../../../ha/rpc/mod.ts";

export interface RestRequest {
  readonly method: string;
  /** Path and query as they were sent, percent-encoded. */
  readonly target: string;
  /** Who the transport says that the peer is. */
  readonly peer: PeerIdentity;
  /** The first value of a header, which is named in lower case. */
  header(name: string): string | undefined;
  /** Every value of a header, which is named in lower case. */
  headers(name: string): readonly string[];
  /** The names that begin so, in lower case; one may come twice. */
  namesWith(prefix: string): readonly string[];
  /** The whole body; at most `limits.restBodyBytes`. */
  readonly body: Uint8Array;
  /** Aborts when the client leaves; may be made when it is first asked for. */
  readonly signal: AbortSignal;
}

export type RestHeaders = readonly (readonly [name: string, value: string])[];

/** Pieces of a body that is made while it is sent. Its `return` is called when the client leaves. */
export type ByteStream = AsyncIterable<Uint8Array>;

/** A body that may also be taken a piece at a time, instead of as an iterable. */
export interface PieceBody extends ByteStream {
  readonly source: PieceSource;
}

export function isPieceBody(body: ByteStream): body is PieceBody {
  return "source" in body;
}

export interface RestResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: RestHeaders;
  readonly body: Uint8Array | ByteStream;
  /** The stream is one document, and may be compressed as such. */
  readonly isDocument?: true;
}

export function isStream(body: RestResponse["body"]): body is ByteStream {
  return !(body instanceof Uint8Array);
}

/** Answers a request. Never rejects: an error is a response, too. */
export type RestHandler = (request: RestRequest) => Promise<RestResponse>;

/** Requests to one HTTPS server: over HTTP/2 on our own engine, or HTTP/1.1 where it has no other. */
import type { StatusError } from "../../../ha/runtime/status-error.ts";

export interface HttpRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** Name and value alternately; names in lower case. */
  readonly headers: readonly string[];
  readonly body?: Buffer | undefined;
  readonly signal?: AbortSignal | undefined;
  /** As `Date.now()` counts; absent: none. */
  readonly deadline?: number | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  header(name: string): string | undefined;
  /**
   * The next piece of the body; undefined: it has ended. What is not taken stops the server. Asked
   * for one at a time; rejects with a CallFailure.
   */
  take(): Promise<Buffer | undefined>;
  /** Nothing more is wanted of it. */
  cancel(): void;
}

export interface HttpServer {
  /** Rejects with a CallFailure: `notBegun` where the server cannot have seen the request. */
  request(request: HttpRequest): Promise<HttpAnswer>;
  close(): void;
}

/** The whole body. Rejects with a StatusError for one over the limit. */
export async function wholeBody(answer: HttpAnswer, tooLarge: () => StatusError, maxBytes: number) {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for (let piece = await answer.take(); piece !== undefined; piece = await answer.take()) {
    bytes += piece.length;
    if (bytes > maxBytes) {
      answer.cancel();
      throw tooLarge();
    }
    pieces.push(piece);
  }
  return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces, bytes);
}

export function authorityOf(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

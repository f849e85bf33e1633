/** An ordinary HTTP answer to a request that asked for an upgrade. */
import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { toStatusDocument } from "../../../../../ha/rpc/mod.ts";
import type { StatusError } from "../../../../../ha/runtime/status-error.ts";

/** Answers with the error's `Status`, and closes the connection. */
export function refuse(socket: Duplex, error: StatusError): void {
  if (socket.destroyed) return;
  const document = toStatusDocument(error);
  const code = document.code ?? 500;
  const body = Buffer.from(JSON.stringify(document));
  const { retryAfterSeconds } = error.detail ?? {};
  const retry =
    retryAfterSeconds === undefined ? [] : [`Retry-After: ${Math.ceil(retryAfterSeconds)}`];
  const head = [
    `HTTP/1.1 ${code} ${STATUS_CODES[code] ?? "Error"}`,
    "Content-Type: application/json",
    `Content-Length: ${body.length}`,
    "Connection: close",
    ...retry,
  ];
  socket.end(Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`), body]));
}

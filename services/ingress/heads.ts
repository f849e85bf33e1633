/** What stands before a message: where it goes, and the fields that are relayed. */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { isIPv6 } from "node:net";
import type { Exchange } from "./http2-front.ts";

export type Incoming = IncomingMessage | Exchange;
export type Outgoing = ServerResponse | Exchange;

interface Target {
  readonly authority: string;
  readonly host: string;
  readonly path: string;
  readonly url: string;
}

/** Undefined: there is no host, or the path is none. */
export function targetOf(request: Incoming): Target | undefined {
  const authority = request.headers[":authority"] ?? request.headers.host;
  if (typeof authority !== "string" || !hostForm.test(authority)) return undefined;
  const url = request.url ?? "";
  if (!/^\/[!-~]*$/.test(url)) return undefined;
  const bare = authority.replace(/:\d+$/, "");
  const host = isIPv6(bare.slice(1, -1)) ? bare.slice(1, -1) : bare;
  return { authority, host, path: url.split(/[?#]/, 1).join(""), url };
}

const hostForm = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]{1,253})(:\d{1,5})?$/;
/** Fields that concern one connection alone (RFC 9110 section 7.6.1). */
const hops = new Set([
  ...["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"],
  ...["te", "trailer", "transfer-encoding", "upgrade", "http2-settings"],
]);

export function withoutHops(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const named = (headers.connection ?? "").toLowerCase().split(",");
  const dropped = new Set(named.map((name) => name.trim()));
  return Object.fromEntries(
    Object.entries(headers).filter(
      ([name]) => !name.startsWith(":") && !hops.has(name) && !dropped.has(name),
    ),
  );
}

/** HTTP/2 carries values that HTTP/1.1 does not (RFC 9110 section 5.5). */
export function isPlain(headers: IncomingHttpHeaders): boolean {
  return Object.values(headers).every((value) => /^[\t -~\x80-\xff]*$/.test(String(value ?? "")));
}

export function forwardedHeaders(
  request: Incoming,
  authority: string,
  scheme: string,
): IncomingHttpHeaders {
  const client = (request.socket.remoteAddress ?? "").replace(/^::ffff:/, "");
  const before = request.headers["x-forwarded-for"];
  return {
    ...withoutHops(request.headers),
    host: authority,
    "x-forwarded-for": before === undefined ? client : `${String(before)}, ${client}`,
    "x-forwarded-host": authority,
    "x-forwarded-proto": scheme,
  };
}

export function headText({ statusCode, statusMessage, rawHeaders }: IncomingMessage): string {
  const lines = [`HTTP/1.1 ${statusCode} ${statusMessage}`];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`);
  }
  return `${lines.join("\r\n")}\r\n\r\n`;
}

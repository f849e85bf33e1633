import type { IncomingHttpHeaders } from "node:http2";
import type { Headers } from "./forwarder.ts";

/** Without the pseudo fields, and without `host`, which `:authority` stands for. */
export function regularHeaders(headers: IncomingHttpHeaders): Headers {
  const regular: Record<string, string | readonly string[]> = {};
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    if (value !== undefined && !name.startsWith(":") && name !== "host") regular[name] = value;
  }
  return regular;
}

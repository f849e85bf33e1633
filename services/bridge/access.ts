/**
 * Who may use the bridge: a browser on this machine that was given the token. The token is in the
 * printed URL's fragment, which browsers send nowhere; the page sends it as a bearer token, which
 * no other site's page can. So nothing depends on cookies, and nothing can be forged across sites.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";

export function newToken(): string {
  return randomBytes(24).toString("base64url");
}

const digest = (text: string) => createHash("sha256").update(text).digest();

/** Why the request is refused: its HTTP code and text; undefined: it is not. */
export function refusal(
  request: IncomingMessage,
  port: number,
  token: string | undefined,
): { readonly code: number; readonly text: string } | undefined {
  const { host = "", origin, authorization = "" } = request.headers;
  const hosts = [`127.0.0.1:${port}`, `localhost:${port}`];
  // A name that someone else's DNS server leads here is not ours.
  if (!hosts.includes(host)) return { code: 421, text: "this host is not served here" };
  if (origin !== undefined && !hosts.some((each) => origin === `http://${each}`)) {
    return { code: 403, text: "requests of other sites are refused" };
  }
  if (token === undefined) return undefined;
  const given = authorization.replace(/^Bearer /, "");
  if (timingSafeEqual(digest(given), digest(token))) return undefined;
  return { code: 401, text: "the token is missing or wrong: open the URL that was printed" };
}

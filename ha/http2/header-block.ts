/**
 * A decoded header block, and the rules a message's fields must keep (RFC 9113 section 8).
 *
 * A block that a connection has seen before is the very same object again: what its owner derives
 * from it can be kept in `attachment`. It must not be changed.
 */
import { fieldOverheadBytes } from "./hpack-table.ts";

/** What a block is to be judged as. */
export const BlockRole = { request: 0, response: 1, trailers: 2 } as const;
export type BlockRole = (typeof BlockRole)[keyof typeof BlockRole];

const noNames: string[] = [];

export class HeaderBlock {
  /** Name and value alternately, in the order received; one byte a character. */
  readonly fields: string[] = [];
  /** As SETTINGS_MAX_HEADER_LIST_SIZE counts. Beyond the limit, fields are counted, not kept. */
  size = 0;
  /** More than the limit: `fields` is incomplete. */
  tooLarge = false;
  /** Names received as never to be indexed (RFC 7541 section 6.2.3); a proxy must keep that. */
  secrets: string[] | undefined;
  /** The owner's own; lives as long as the block is remembered. */
  attachment: unknown;
  readonly #faults: (string | null | undefined)[] = [undefined, undefined, undefined];
  #contentLength: number | undefined;

  add(name: string, value: string, maxBytes: number, maxFields: number): void {
    this.size += name.length + value.length + fieldOverheadBytes;
    if (this.size > maxBytes || this.fields.length >= 2 * maxFields) {
      this.tooLarge = true;
      return;
    }
    this.fields.push(name, value);
  }

  /** First value of a field. */
  get(name: string): string | undefined {
    const { fields } = this;
    for (let at = 0; at < fields.length; at += 2) {
      if (fields[at] === name) return fields[at + 1];
    }
    return undefined;
  }

  /** Names that begin so, each as often as it came. */
  namesWith(prefix: string): readonly string[] {
    const { fields } = this;
    let found: string[] = noNames;
    for (let at = 0; at < fields.length; at += 2) {
      const name = fields[at] as string;
      if (!name.startsWith(prefix)) continue;
      if (found === noNames) found = [];
      found.push(name);
    }
    return found;
  }

  /** The declared length of the body; -1 without one. Only for a block without fault. */
  get contentLength(): number {
    if (this.#contentLength === undefined) {
      const text = this.get("content-length");
      this.#contentLength = text === undefined ? -1 : Number(text);
    }
    return this.#contentLength;
  }

  /** Why the block is malformed; null: it is not. */
  fault(role: BlockRole): string | null {
    let fault = this.#faults[role];
    if (fault === undefined) {
      fault = faultOfFields(this.fields, role) ?? null;
      this.#faults[role] = fault;
    }
    return fault;
  }
}

const namePattern = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const badValuePattern = /[\0\r\n]|^[ \t]|[ \t]$/;
const connectionSpecific = new Set([
  "connection",
  "proxy-connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
]);
const requestPseudo = [":method", ":scheme", ":path", ":authority"];

function faultOfFields(fields: readonly string[], role: BlockRole): string | undefined {
  const pseudo = new Map<string, string>();
  let regular = false;
  let contentLength: string | undefined;
  let host: string | undefined;
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string;
    const value = fields[at + 1] as string;
    if (badValuePattern.test(value)) return `field "${name}" has an illegal value`;
    if (name.startsWith(":")) {
      if (regular) return `pseudo field "${name}" after a regular one`;
      if (pseudo.has(name)) return `pseudo field "${name}" twice`;
      pseudo.set(name, value);
      continue;
    }
    regular = true;
    if (!namePattern.test(name)) return "a field's name has an illegal character";
    if (connectionSpecific.has(name)) return `connection-specific field "${name}"`;
    if (name === "te" && value !== "trailers") return `"te: ${value}"`;
    if (name === "host") host = value;
    if (name === "content-length") {
      if (!/^\d{1,15}$/.test(value)) return `content-length "${value}"`;
      if (contentLength !== undefined && contentLength !== value) return "content-length twice";
      contentLength = value;
    }
  }
  if (role === BlockRole.request) return faultOfRequest(pseudo, host);
  if (role === BlockRole.response) return faultOfResponse(pseudo);
  return pseudo.size > 0 ? "a pseudo field in trailers" : undefined;
}

function faultOfRequest(
  pseudo: ReadonlyMap<string, string>,
  host: string | undefined,
): string | undefined {
  for (const name of pseudo.keys()) {
    if (!requestPseudo.includes(name)) return `pseudo field "${name}" in a request`;
  }
  const method = pseudo.get(":method");
  const path = pseudo.get(":path");
  const scheme = pseudo.get(":scheme");
  const authority = pseudo.get(":authority");
  if (method === undefined) return "no :method";
  if (method === "CONNECT") {
    if (authority === undefined) return "CONNECT without :authority";
    return path === undefined && scheme === undefined ? undefined : "CONNECT with a target";
  }
  if (path === undefined || path === "") return "no :path";
  if (!path.startsWith("/") && !(path === "*" && method === "OPTIONS")) return `:path "${path}"`;
  if (scheme === undefined) return "no :scheme";
  if (authority?.includes("@")) return ":authority with user information";
  if (authority !== undefined && host !== undefined && authority !== host) {
    return "host differs from :authority";
  }
  return undefined;
}

function faultOfResponse(pseudo: ReadonlyMap<string, string>): string | undefined {
  const status = pseudo.get(":status");
  if (status === undefined || pseudo.size > 1) return "not :status alone";
  if (!/^[1-9]\d\d$/.test(status)) return `:status "${status}"`;
  // RFC 9113 section 8.6: there is nothing to switch to.
  return status === "101" ? ":status 101" : undefined;
}

import { encodeHeaders, type HeaderBlock } from "../http2/mod.ts";
import type { Headers } from "./calls.ts";

/** The regular fields of a block; the same object again for a block seen before. */
export function headersOf(block: HeaderBlock): Headers {
  const known = block.attachment as Headers | undefined;
  if (known !== undefined) return known;
  const headers: Record<string, string | readonly string[]> = {};
  const { fields } = block;
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string;
    const value = fields[at + 1] as string;
    // `:authority` stands for `host`.
    if (name.startsWith(":") || name === "host") continue;
    const before = headers[name];
    headers[name] = before === undefined ? value : [before, value].flat();
  }
  block.attachment = headers;
  return headers;
}

/** Name and value alternately, behind these. */
export function encode(first: readonly string[], headers: Headers): Uint8Array {
  const fields = [...first];
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    if (typeof value === "string") fields.push(name, value);
    else for (const each of value ?? []) fields.push(name, each);
  }
  return encodeHeaders(fields);
}

/** Encodes the same headers once, as long as they are remembered. */
export class BlockCache {
  readonly #first: readonly string[];
  readonly #blocks = new WeakMap<Headers, Uint8Array>();

  constructor(first: readonly string[]) {
    this.#first = first;
  }

  of(headers: Headers): Uint8Array {
    let block = this.#blocks.get(headers);
    if (block === undefined) {
      block = encode(this.#first, headers);
      this.#blocks.set(headers, block);
    }
    return block;
  }
}

/**
 * Requests that are serialized once and sent many times with other numbers in their names: to
 * serialize each one anew would cost more than to send it. It works alike for protobuf, JSON and
 * paths, because the numbers are written with as many digits as their places have.
 */
import { encodeHeaders } from "../../../ha/http2/mod.ts";
import { messagePrefixBytes, writeMessagePrefix } from "../../../ha/rpc/mod.ts";

const digits = 10;
/** In a name: the place of the object's number. No serialization escapes or packs it. */
export const namePlace = "~".repeat(digits);
/** In a value: the place of the call's number, which makes each write another one. */
export const stampPlace = "^".repeat(digits);

/** The digits that stand in the place of the number. */
export function placed(number: number): string {
  return String(number).padStart(digits, "0");
}

interface Places {
  readonly names: readonly number[];
  readonly stamps: readonly number[];
}

const nothing = Buffer.alloc(0);
/** RFC 7541 section 6.2.2: a literal that is not indexed, with the static table's name 4, `:path`. */
const literalPath = 0x04;

export class RequestTemplate {
  /** The header block's beginning, the same for every request. */
  readonly head: Uint8Array;
  readonly #more: Buffer;
  readonly #morePlaces: Places;
  readonly #body: Buffer;
  readonly #bodyPlaces: Places;
  /** The request's half of the stream stays open: a stream of requests. */
  readonly open: boolean;

  private constructor(head: Uint8Array, more: Buffer, body: Buffer, open: boolean) {
    this.head = head;
    this.#more = more;
    this.#morePlaces = placesIn(more);
    this.#body = body;
    this.#bodyPlaces = placesIn(body);
    this.open = open;
  }

  /** `fields`: further metadata, name and value alternately. `message`: without its prefix. */
  static grpc(
    to: { readonly scheme: string; readonly authority: string; readonly path: string },
    message: Uint8Array,
    fields: readonly string[] = [],
    open = false,
  ): RequestTemplate {
    const head = encodeHeaders([
      ...[":method", "POST", ":scheme", to.scheme, ":path", to.path, ":authority", to.authority],
      ...["content-type", "application/grpc", "te", "trailers", ...fields],
    ]);
    const body = Buffer.alloc(messagePrefixBytes + message.length);
    body.set(message, writeMessagePrefix(body, 0, message.length));
    return new RequestTemplate(head, nothing, body, open);
  }

  /** The path may have a place for a name, and so may the body. */
  static rest(
    to: {
      readonly method: string;
      readonly scheme: string;
      readonly authority: string;
      readonly path: string;
    },
    body: Uint8Array | undefined,
    fields: readonly string[] = [],
    contentType = "application/json",
  ): RequestTemplate {
    const head = encodeHeaders([
      ...[":method", to.method, ":scheme", to.scheme, ":authority", to.authority],
    ]);
    // As it is, for Huffman's code would give each digit another length.
    const path = Buffer.from(to.path, "latin1");
    const rest = encodeHeaders(
      body === undefined
        ? fields
        : [...fields, "content-type", contentType, "content-length", String(body.length)],
    );
    const more = Buffer.concat([Buffer.of(literalPath), literalLength(path.length), path, rest]);
    return new RequestTemplate(head, more, Buffer.from(body ?? nothing), false);
  }

  get hasBody(): boolean {
    return this.#body.length > 0;
  }

  /** The rest of the header block; valid until the next call. */
  fields(name: number): Uint8Array {
    write(this.#more, this.#morePlaces.names, name);
    return this.#more;
  }

  /** A body of its own. */
  body(name: number, stamp: number): Buffer {
    const { names, stamps } = this.#bodyPlaces;
    if (names.length === 0 && stamps.length === 0) return this.#body;
    const body = Buffer.allocUnsafe(this.#body.length);
    this.#body.copy(body);
    write(body, names, name);
    write(body, stamps, stamp);
    return body;
  }
}

/** RFC 7541 section 5.1 with a prefix of 7 bits. */
function literalLength(length: number): Buffer {
  if (length < 0x7f) return Buffer.of(length);
  const bytes = [0x7f];
  let left = length - 0x7f;
  for (; left >= 0x80; left >>>= 7) bytes.push((left & 0x7f) | 0x80);
  return Buffer.from([...bytes, left]);
}

function placesIn(bytes: Buffer): Places {
  const find = (text: string) => {
    const found: number[] = [];
    for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + digits)) {
      found.push(at);
    }
    return found;
  };
  return { names: find(namePlace), stamps: find(stampPlace) };
}

const zero = 0x30;

function write(bytes: Uint8Array, places: readonly number[], number: number): void {
  for (const place of places) {
    let left = number;
    for (let at = place + digits - 1; at >= place; at--) {
      const next = Math.trunc(left / 10);
      bytes[at] = zero + left - 10 * next;
      left = next;
    }
  }
}

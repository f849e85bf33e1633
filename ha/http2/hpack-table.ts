/** The index space of HPACK: RFC 7541 sections 2.3 and 4, appendix A. */

/** Name and value alternately; entry n of the appendix begins at 2 * (n - 1). */
export const staticFields: readonly string[] = [
  ...[":authority", "", ":method", "GET", ":method", "POST", ":path", "/"],
  ...[":path", "/index.html", ":scheme", "http", ":scheme", "https"],
  ...[":status", "200", ":status", "204", ":status", "206", ":status", "304"],
  ...[":status", "400", ":status", "404", ":status", "500"],
  ...["accept-charset", "", "accept-encoding", "gzip, deflate", "accept-language", ""],
  ...["accept-ranges", "", "accept", "", "access-control-allow-origin", "", "age", ""],
  ...["allow", "", "authorization", "", "cache-control", "", "content-disposition", ""],
  ...["content-encoding", "", "content-language", "", "content-length", ""],
  ...["content-location", "", "content-range", "", "content-type", "", "cookie", ""],
  ...["date", "", "etag", "", "expect", "", "expires", "", "from", "", "host", ""],
  ...["if-match", "", "if-modified-since", "", "if-none-match", "", "if-range", ""],
  ...["if-unmodified-since", "", "last-modified", "", "link", "", "location", ""],
  ...["max-forwards", "", "proxy-authenticate", "", "proxy-authorization", "", "range", ""],
  ...["referer", "", "refresh", "", "retry-after", "", "server", "", "set-cookie", ""],
  ...["strict-transport-security", "", "transfer-encoding", "", "user-agent", ""],
  ...["vary", "", "via", "", "www-authenticate", ""],
];
export const staticEntries = staticFields.length / 2;

/** What a field counts for beyond its name and value (RFC 7541 section 4.1). */
export const fieldOverheadBytes = 32;

/** The dynamic table of a decoder: a ring, newest entry first. */
export class DynamicTable {
  readonly #names: string[];
  readonly #values: string[];
  readonly #mask: number;
  /** Counts every entry ever added; the newest is at `added - 1`. */
  #added = 0;
  #entries = 0;
  #bytes = 0;
  #maxBytes: number;
  /** The most that `maxBytes` can be. */
  readonly limitBytes: number;
  /** Changes whenever an index may mean something else than before. */
  version = 0;

  constructor(limitBytes: number) {
    let capacity = 1;
    while (capacity < limitBytes / fieldOverheadBytes) capacity *= 2;
    this.#names = new Array<string>(capacity).fill("");
    this.#values = new Array<string>(capacity).fill("");
    this.#mask = capacity - 1;
    this.#maxBytes = limitBytes;
    this.limitBytes = limitBytes;
  }

  get entries(): number {
    return this.#entries;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** `index` counts from 0, the newest. */
  name(index: number): string {
    return this.#names[(this.#added - 1 - index) & this.#mask] as string;
  }

  value(index: number): string {
    return this.#values[(this.#added - 1 - index) & this.#mask] as string;
  }

  add(name: string, value: string): void {
    this.version++;
    const size = name.length + value.length + fieldOverheadBytes;
    this.#evictTo(this.#maxBytes - size);
    // An entry that is too large empties the table and is not an error (section 4.4).
    if (size > this.#maxBytes) return;
    const slot = this.#added++ & this.#mask;
    this.#names[slot] = name;
    this.#values[slot] = value;
    this.#entries++;
    this.#bytes += size;
  }

  /** As an entry does that is larger than the table (section 4.4). */
  empty(): void {
    this.version++;
    this.#evictTo(0);
  }

  resize(maxBytes: number): void {
    if (maxBytes === this.#maxBytes) return;
    this.version++;
    this.#maxBytes = maxBytes;
    this.#evictTo(maxBytes);
  }

  #evictTo(bytes: number): void {
    while (this.#entries > 0 && this.#bytes > bytes) {
      const slot = (this.#added - this.#entries) & this.#mask;
      const name = this.#names[slot] as string;
      const value = this.#values[slot] as string;
      this.#bytes -= name.length + value.length + fieldOverheadBytes;
      this.#names[slot] = "";
      this.#values[slot] = "";
      this.#entries--;
    }
  }
}

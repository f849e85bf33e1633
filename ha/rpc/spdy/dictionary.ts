/** The preset dictionary of header compression, a constant of the SPDY/3 draft (section 2.6.10.1). */

/** Each stands behind its length. */
const words =
  "options head post put delete trace accept accept-charset accept-encoding accept-language " +
  "accept-ranges age allow authorization cache-control connection content-base content-encoding " +
  "content-language content-length content-location content-md5 content-range content-type date " +
  "etag expect expires from host if-match if-modified-since if-none-match if-range " +
  "if-unmodified-since last-modified location max-forwards pragma proxy-authenticate " +
  "proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade " +
  "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url " +
  "public set-cookie keep-alive";

/** Follow as they are. */
const tail =
  "origin1001012012022052063003023033043053063074024054064074084094104114124134144154164175025045" +
  "05203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 " +
  "Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service " +
  "UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, " +
  "Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml," +
  "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdch" +
  "charset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

export const headerDictionary: Buffer = Buffer.concat([
  ...words.split(" ").flatMap((word) => prefixed(word.replace("_", " "))),
  uint32("origin".length),
  Buffer.from(tail, "latin1"),
]);

/** Adler-32 of the dictionary, by which a zlib stream names it. */
export const dictionaryId = adler32(headerDictionary);

function prefixed(word: string): readonly Buffer[] {
  return [uint32(word.length), Buffer.from(word, "latin1")];
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function adler32(bytes: Buffer): number {
  let low = 1;
  let high = 0;
  for (const byte of bytes) {
    low = (low + byte) % 65_521;
    high = (high + low) % 65_521;
  }
  return high * 65_536 + low;
}

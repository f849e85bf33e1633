import { assert } from "../runtime/assert.ts";
import { defaultWindowBytes, largestWindowBytes } from "./codes.ts";

/** A token bucket: so many at once, refilled by so many a second. */
export interface FloodLimit {
  readonly burst: number;
  readonly perSecond: number;
}

/** What one peer may make this end of a connection hold and do. */
export interface Http2Limits {
  /** Streams the peer may have open at once; the next one is refused (REFUSED_STREAM). */
  readonly concurrentStreams: number;
  /** Bytes a peer may have on the way unread, per stream … */
  readonly streamWindowBytes: number;
  /** … and for the whole connection. */
  readonly connectionWindowBytes: number;
  /** Names, values and 32 bytes a field (RFC 9113 section 6.5.2). */
  readonly headerListBytes: number;
  readonly headerFields: number;
  /** Encoded bytes of one header block, over all its frames; a longer one costs its stream. */
  readonly headerBlockBytes: number;
  /** Encoded bytes of one header block from which it is a flood, and costs the connection. */
  readonly headerBlockBytesMax: number;
  /** CONTINUATION frames of one header block; more are a flood. */
  readonly continuationFrames: number;
  /** The decoder's dynamic table (RFC 7541 section 4.2), as announced to the peer. */
  readonly headerTableBytes: number;
  /** Header blocks of one connection that are remembered with what they decode to. */
  readonly cachedBlocks: number;
  /** Blocks longer than this are decoded every time. */
  readonly cachedBlockBytes: number;
  /** Informational responses (1xx) a client accepts before the final one. */
  readonly informationalResponses: number;
  /** Unsent bytes from which DATA waits in its stream. */
  readonly outputHighBytes: number;
  /** Unsent bytes from which nothing more is read from the peer. */
  readonly outputStopBytes: number;
  /** A peer that reads nothing for so long, while output waits for it, is cut off. */
  readonly stalledMillis: number;
  /** The client's preface and SETTINGS must arrive within this. */
  readonly prefaceMillis: number;
  /** Our SETTINGS must be acknowledged within this (RFC 9113 section 6.5.3). */
  readonly settingsAckMillis: number;
  /** A header block that has begun must end within this. */
  readonly headerBlockMillis: number;
  /** Silence after which the peer is asked for a sign of life; 0: never. */
  readonly keepaliveMillis: number;
  /** … and closed without one after this. */
  readonly keepaliveTimeoutMillis: number;
  /** A closed connection gives its last bytes so long to leave. */
  readonly lingerMillis: number;
  /** RST_STREAM frames of the peer, and those its errors made us send. */
  readonly resets: FloodLimit;
  readonly pings: FloodLimit;
  readonly settings: FloodLimit;
  /** DATA frames without data that do not end their stream. */
  readonly emptyFrames: FloodLimit;
  readonly windowUpdates: FloodLimit;
  /** Streams over the limit of concurrent streams. */
  readonly refusals: FloodLimit;
  /** PRIORITY and unknown frames. */
  readonly ignoredFrames: FloodLimit;
}

export const http2Limits: Http2Limits = {
  concurrentStreams: 10_000,
  streamWindowBytes: 256 * 1024,
  connectionWindowBytes: 4 * 1024 * 1024,
  headerListBytes: 16 * 1024,
  headerFields: 128,
  headerBlockBytes: 64 * 1024,
  headerBlockBytesMax: 1024 * 1024,
  continuationFrames: 128,
  headerTableBytes: 4_096,
  cachedBlocks: 256,
  cachedBlockBytes: 512,
  informationalResponses: 16,
  outputHighBytes: 256 * 1024,
  outputStopBytes: 4 * 1024 * 1024,
  stalledMillis: 60_000,
  prefaceMillis: 10_000,
  settingsAckMillis: 20_000,
  headerBlockMillis: 10_000,
  keepaliveMillis: 5_000,
  keepaliveTimeoutMillis: 3_000,
  lingerMillis: 1_000,
  resets: { burst: 10_000, perSecond: 1_000 },
  pings: { burst: 5_000, perSecond: 2_000 },
  settings: { burst: 100, perSecond: 10 },
  emptyFrames: { burst: 1_000, perSecond: 1_000 },
  windowUpdates: { burst: 50_000, perSecond: 100_000 },
  refusals: { burst: 1_000, perSecond: 500 },
  ignoredFrames: { burst: 5_000, perSecond: 1_000 },
};

/** The limits with some replaced. Throws an AssertionError that names a broken relation. */
export function withLimits(changes: Partial<Http2Limits> | undefined): Http2Limits {
  if (changes === undefined) return http2Limits;
  const limits: Http2Limits = { ...http2Limits, ...changes };
  const { streamWindowBytes, connectionWindowBytes } = limits;
  assert(
    streamWindowBytes >= defaultWindowBytes && connectionWindowBytes >= defaultWindowBytes,
    `streamWindowBytes and connectionWindowBytes must be at least ${defaultWindowBytes}`,
  );
  assert(
    connectionWindowBytes >= streamWindowBytes && connectionWindowBytes <= largestWindowBytes,
    `connectionWindowBytes must be within streamWindowBytes and ${largestWindowBytes}`,
  );
  assert(
    limits.headerBlockBytes >= limits.headerListBytes,
    "headerBlockBytes must be at least headerListBytes",
  );
  assert(
    limits.headerBlockBytesMax >= limits.headerBlockBytes,
    "headerBlockBytesMax must be at least headerBlockBytes",
  );
  assert(
    limits.outputStopBytes > 2 * limits.outputHighBytes,
    "outputStopBytes must be over twice outputHighBytes",
  );
  return limits;
}

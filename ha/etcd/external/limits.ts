/** The limits of a store on an external etcd cluster. */
export const externalLimits = {
  /** Endpoints that may be named. */
  endpoints: 16,
  /** One attempt of a call; etcd itself gives up after 5 s and two election timeouts. */
  callMillis: 8_000,
  /**
   * One attempt of a write with a request id. What a member has forwarded to a leader that died is
   * lost, and the member would wait out its whole timeout; repeating it is safe and much sooner.
   */
  markedCallMillis: 2_000,
  /** After this no further endpoint is tried for a call. */
  failoverMillis: 10_000,
  /** Pause when every endpoint has been tried once. */
  roundMillis: 100,
  /** `openEtcdStore` gives up when no endpoint has answered by then. */
  openMillis: 20_000,
  /** HTTP/2 pings: etcd disconnects a client that sends them more often than every 5 s. */
  keepaliveMillis: 10_000,
  keepaliveTimeoutMillis: 3_000,
  /** How often the members are asked how they are, and how long each has to answer. */
  statusMillis: 1_000,
  statusTimeoutMillis: 2_000,
  /** Watches open at once; each is a stream of its own. */
  watches: 1_000,
  /** Bytes of keys and values queued for one watch before its stream is paused. */
  watchQueuedBytes: 8 * 1024 * 1024,
  /** Batches queued for one watch before its stream is paused. */
  watchQueuedBatches: 4_096,
  /** Delay before a lost watch is opened again, first and at most. */
  watchRetryMinMillis: 20,
  watchRetryMaxMillis: 1_000,
  /** A watch ends with `unavailable` when no endpoint has carried it for so long. */
  watchLostMillis: 30_000,
  /** etcd leaves a progress request unanswered while the watch catches up: it is asked again. */
  progressRepeatMillis: 100,
  /** Time that a write's own event gets before progress is asked for. */
  progressDelayMillis: 20,
  /** The answer to a request id is remembered at least this long … */
  sessionSeconds: 300,
  /** … for one lease collects those of this time and lives for both together. */
  sessionLeaseRotateSeconds: 60,
} as const;

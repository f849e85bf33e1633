/**
 * Limits of the store. Those of {@link StoreLimits} decide outcomes in `apply`, so every member of
 * a cluster must have the same ones.
 */
export interface StoreLimits {
  /** Operations in one branch, and compares, of a txn (etcd `--max-txn-ops`). */
  readonly maxTxnOperations: number;
  /** Bytes of one encoded write (etcd `--max-request-bytes`). */
  readonly maxRequestBytes: number;
  /** Request ids remembered. */
  readonly maxSessions: number;
  /** How long a request id is remembered. */
  readonly sessionMillis: number;
  /**
   * How far one entry's wall clock may age the store: a clock that jumps is not time that passes.
   */
  readonly maxClockStepMillis: number;
  /** A remembered answer larger than this is kept as succeeded and revision only. */
  readonly maxSessionResultBytes: number;
  /** Bytes of a request id in UTF-8. */
  readonly maxRequestIdBytes: number;
  /** A shorter lease is granted this long. */
  readonly minLeaseSeconds: number;
  /** etcd's bound: 9,000,000,000 s. */
  readonly maxLeaseSeconds: number;
}

export const defaultStoreLimits: StoreLimits = {
  maxTxnOperations: 128,
  maxRequestBytes: 1536 * 1024,
  maxSessions: 200_000,
  sessionMillis: 5 * 60_000,
  maxClockStepMillis: 30_000,
  maxSessionResultBytes: 4096,
  maxRequestIdBytes: 160,
  minLeaseSeconds: 1,
  maxLeaseSeconds: 9_000_000_000,
};

/** Bounds of what one member holds for its watchers; may differ between members. */
export interface WatchLimits {
  readonly maxWatchers: number;
  /** Events, and bytes of keys and values, queued for one watcher before it must catch up. */
  readonly maxQueuedEvents: number;
  readonly maxQueuedBytes: number;
  /**
   * Bytes queued for all watchers together, before each that has something queued must catch up.
   */
  readonly maxHeldBytes: number;
  /** Records of about 8 KiB read from history at a time. */
  readonly catchUpPageRecords: number;
}

export const defaultWatchLimits: WatchLimits = {
  maxWatchers: 100_000,
  maxQueuedEvents: 4096,
  maxQueuedBytes: 8 * 1024 * 1024,
  maxHeldBytes: 256 * 1024 * 1024,
  catchUpPageRecords: 16,
};

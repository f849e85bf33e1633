/** The limits of the etcd face. Those of a single write are the store's (`ha/store/limits.ts`). */
export const etcdLimits = {
  /**
   * For `createRpcServer`. A write is bounded by the store at 1.5 MiB, and the request that brings
   * it, as etcd does it, at half a MiB more; the answer to a range is bounded by neither.
   */
  messageBytes: 32 * 1024 * 1024,
  requestBytes: 2 * 1024 * 1024,
  /**
   * A large answer to a range is made in pieces of so many bytes, or when so many rows have been
   * visited for one (an older version, read from disk, counts as several).
   */
  pieceBytes: 64 * 1024,
  rowsPerTurn: 4_096,
  /** Watches of one stream. */
  watchesPerStream: 10_000,
  /** A watch response is cut at a revision, or with `fragment` within one, beyond this. */
  watchResponseBytes: 2 * 1024 * 1024,
  /** How often an idle watch with `progress_notify` hears how far it has come (etcd's default). */
  progressMillis: 10 * 60_000,
  /** A stream that requires a leader ends when there has been none for so long. */
  leaderLossMillis: 3_000,
  /** Seconds of the lease that Lock and Campaign make when they are given none. */
  sessionSeconds: 60,
  /** Bytes of one response of a snapshot. */
  snapshotBlobBytes: 32 * 1024,
  /** etcdctl recognises a checksum by a size of n * 512 + 32. */
  snapshotPadBytes: 512,
  /** Peer addresses of one member, and characters of one. */
  peerUrls: 16,
  peerUrlCharacters: 1024,
  /** Users; roles; permissions of a role. Auth data is held in memory as a whole. */
  users: 10_000,
  roles: 10_000,
  permissions: 10_000,
  /** Bytes of a user's or a role's name, of a password, and of a token. */
  nameBytes: 512,
  passwordBytes: 1024,
  tokenBytes: 4096,
  /** How long a token is good for (etcd's default). */
  tokenMillis: 5 * 60_000,
  /** Passwords checked at once (each takes 16 MiB and a thread of the pool), and waiting to be. */
  passwordsAtOnce: 2,
  passwordsWaiting: 64,
  /** Attempts at a change of auth data, when other changes come first each time. */
  changeAttempts: 16,
  /** Times a write is tried again because rights changed while it was under way. */
  guardedAttempts: 3,
  /** Delay before a lost watch on auth data is opened again. */
  followMillis: 250,
} as const;

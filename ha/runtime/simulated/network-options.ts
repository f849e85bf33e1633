/** Ranges in microseconds, uniform. */
type MicrosRange = readonly [min: number, max: number];

export interface NetworkOptions {
  /** One way, unless a link has its own. */
  readonly latency: MicrosRange;
  /** Probability that a message is lost on a link that stays up. */
  readonly drop: number;
  /** Until the ends notice that a connection was closed or reset. */
  readonly noticeReset: MicrosRange;
  /** Until they notice that nothing arrives any more: the keep-alive of the real network. */
  readonly noticeSilence: MicrosRange;
  readonly backoffMicrosMin: number;
  readonly backoffMicrosMax: number;
  readonly queueBytesMax: number;
  readonly messageBytesMax: number;
  /**
   * Probability that what was in flight on a broken link still arrives, possibly after the first
   * messages of the next one.
   */
  readonly lateArrival: number;
}

export const defaultNetworkOptions: NetworkOptions = {
  latency: [100, 1_000],
  drop: 0,
  noticeReset: [50, 5_000],
  noticeSilence: [1_500_000, 2_500_000],
  backoffMicrosMin: 10_000,
  backoffMicrosMax: 500_000,
  queueBytesMax: 64 * 1024 * 1024,
  messageBytesMax: 8 * 1024 * 1024,
  lateArrival: 0.1,
};

/** What one direction between two members is like; absent fields are the network's. */
export interface LinkOptions {
  readonly latency?: MicrosRange;
  readonly drop?: number;
}

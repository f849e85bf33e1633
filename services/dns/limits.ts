/** Every limit of the DNS server. Milliseconds unless the name says otherwise. */
export const dnsLimits = {
  /** RFC 1035, section 2.3.4. */
  nameBytesMax: 255,
  labelBytesMax: 63,
  /** What a datagram may hold for a client that says nothing (RFC 1035), or asks for more. */
  datagramBytesPlain: 512,
  datagramBytesMax: 1_232,
  messageBytesMax: 65_535,
  /** A query is a question and an OPT record; no client sends as much. */
  queryBytesMax: 4_096,
  /** Records of a query that are looked through for its OPT record. */
  queryRecordsMax: 16,
  /** Aliases followed for one answer. */
  aliasesMax: 8,
  /** Seconds that clients may keep an answer, and the absence of one. */
  ttlSeconds: 5,
  tcpConnectionsMax: 512,
  tcpIdleMillis: 10_000,
  /** Queries of one connection that wait for their answers. */
  tcpPendingMax: 64,
  /** Answers that a client does not read. */
  tcpUnreadBytesMax: 1_048_576,
  forwardsMax: 1_024,
  forwardMillis: 2_000,
  /** Rounds through the upstream servers. */
  forwardRounds: 2,
  upstreamsMax: 3,
  upstreamReadMillis: 5_000,
  bindRetryFirstMillis: 1_000,
  bindRetryCeilingMillis: 30_000,
} as const;

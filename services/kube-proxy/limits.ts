/** Every limit of the userspace proxy. Milliseconds unless the name says otherwise. */
export const proxyLimits = {
  /** Listeners of one node: 10,000 services is the upstream threshold, NodePorts come on top. */
  listenersMax: 20_000,
  connectionsMax: 10_000,
  connectMillis: 1_000,
  /** Endpoints tried for one connection before the client is refused. */
  attemptsMax: 4,
  idleMillis: 900_000,
  /** What a removed endpoint's connections get to end by themselves. */
  drainMillis: 30_000,
  udpIdleMillis: 60_000,
  udpClientsMax: 4_096,
  affinityClientsMax: 10_000,
  /** A choice in use is told to the other proxies of the machine again after this. */
  affinityTellMillis: 1_000,
  bindRetryFirstMillis: 1_000,
  bindRetryCeilingMillis: 30_000,
  affinitySecondsDefault: 10_800,
  /** How long a chain that nothing leads to stays, for packets that are still in it. */
  emptyChainMillis: 1_000,
  /** Between the beats by which the proxies of a machine know of each other; see `peers.ts`. */
  beatMillis: 100,
  /** With more proxies than this on a machine each beats less often, so that all do not cost more. */
  peersAtFullPace: 8,
  peersMax: 1_024,
  /** Beats that must be missing before a proxy counts as frozen. */
  beatsMissedMax: 5,
  /** A proxy's own timer that comes later than this: it was frozen itself and knows nothing. */
  stallMillis: 300,
  /** How long every proxy must be heard before the others stop standing in for one. */
  calmMillis: 3_000,
  /** A datagram between proxies, and how many of them leave at one beat. */
  peerDatagramBytesMax: 8_192,
  peerDatagramsPerBeat: 16,
  peerOutboxMax: 1_024,
} as const;

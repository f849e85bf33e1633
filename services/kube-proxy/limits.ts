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
  bindRetryFirstMillis: 1_000,
  bindRetryCeilingMillis: 30_000,
  affinitySecondsDefault: 10_800,
} as const;

/** Every limit of the ingress proxy. Milliseconds unless the name says otherwise. */
export const ingressLimits = {
  /** Names and values of a request's fields, and its first line. */
  headBytesMax: 32_768,
  headFieldsMax: 200,
  headMillis: 10_000,
  /** Connections of clients, and requests under way over all of them. */
  connectionsMax: 10_000,
  requestsMax: 4_096,
  /** HTTP/2 requests of one client at a time. */
  streamsMax: 128,
  /** A connection without a request. */
  idleMillis: 60_000,
  connectMillis: 2_000,
  /** An HTTP/2 endpoint that took no connection is left alone for so long, at first and at last. */
  restMillisMin: 20,
  restMillisMax: 1_000,
  /** Endpoints tried for one request, while none has taken the connection. */
  attemptsMax: 3,
  /** How long an endpoint may be silent, before its answer and within it. */
  backendSilenceMillis: 60_000,
  /** How long a client may neither send what it began, nor take what it asked for. */
  clientSilenceMillis: 60_000,
  /** Connections kept open to one endpoint. */
  keptConnections: 32,
  /** An upgraded connection on which nothing is sent. */
  tunnelIdleMillis: 900_000,
  drainMillis: 5_000,
  rebuildMillis: 20,
} as const;
